"""Which tensor of A is which of B: by name, by equal bytes, by a prefix. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ckptkit.nodes import TensorNode
from ckptkit.verbs.diffing.leaves import FILE_DTYPE, Leaf
from ckptkit.verbs.diffing.values import Side

MAX_HEADS = 8  # prefixes that are tried
_TELLING_NUMEL = 2  # a single number is equal to another by chance


class Tensor(NamedTuple):
    """A tensor at one place of one checkpoint."""

    leaf: Leaf
    side: Side

    @property
    def node(self) -> TensorNode:
        """The tensor itself."""
        node: TensorNode = self.leaf.node
        return node

    @property
    def form(self) -> tuple[str, tuple[int, ...]]:
        """Its dtype and shape."""
        return self.side.dtype, self.side.shape


def as_tensor(leaf: Leaf) -> Tensor:
    """A leaf that is a tensor."""
    node: TensorNode = leaf.node
    dtype = node.numpy_dtype or node.dtype.name
    nbytes = 0 if node.storage.source is None else node.nbytes
    return Tensor(leaf, Side(leaf.section, leaf.name, dtype, node.shape, nbytes))


Pair = tuple[Tensor, Tensor]


def pair_by_digest(
    lone_a: Sequence[Tensor], lone_b: Sequence[Tensor], digest_of: dict[int, bytes]
) -> tuple[list[Pair], list[Pair]]:
    """Pair tensors of equal bytes, dtype and shape; first inside a section, then across.

    Where several have the same bytes (zeros, ones) the longest common end of their names decides,
    and at least the last part must be common. ``digest_of`` is keyed by the id of the node.
    """
    within = [*_pairs_of_groups(lone_a, lone_b, digest_of, within=True)]
    done = {id(tensor.leaf) for pair in within for tensor in pair}
    rest_a = [tensor for tensor in lone_a if id(tensor.leaf) not in done]
    rest_b = [tensor for tensor in lone_b if id(tensor.leaf) not in done]
    return within, [*_pairs_of_groups(rest_a, rest_b, digest_of, within=False)]


def _pairs_of_groups(
    ours: Sequence[Tensor], theirs: Sequence[Tensor], digest_of: dict[int, bytes], *, within: bool
) -> Iterator[Pair]:
    groups: dict[Hashable, tuple[list[Tensor], list[Tensor]]] = {}
    for which, tensors in enumerate((ours, theirs)):
        for tensor in tensors:
            digest = digest_of.get(id(tensor.node))
            if digest is not None and tensor.side.nbytes:
                key = (tensor.form, digest, tensor.side.section if within else "")
                groups.setdefault(key, ([], []))[which].append(tensor)
    for left, right in groups.values():
        if not left or not right:
            continue
        is_telling = left[0].node.numel >= _TELLING_NUMEL or left[0].side.dtype == FILE_DTYPE
        if len(left) == len(right) == 1 and is_telling:
            yield left[0], right[0]
        else:
            yield from _by_tail(left, right)


def _by_tail(left: list[Tensor], right: list[Tensor]) -> Iterator[Pair]:
    """Pair by the longest common end of names, longest first; order decides among equals."""
    split_left = [(_pieces(tensor), tensor) for tensor in left]
    split_right = [(_pieces(tensor), tensor) for tensor in right]
    longest = max(len(pieces) for pieces, _ in split_left)
    for length in range(longest, 0, -1):
        free: dict[tuple[str, ...], list[int]] = {}
        for place, (pieces, _) in reversed([*enumerate(split_right)]):
            if len(pieces) >= length:
                free.setdefault(pieces[-length:], []).append(place)
        taken: set[int] = set()
        kept = []
        for pieces, tensor in split_left:
            places = free.get(pieces[-length:]) if len(pieces) >= length else None
            if places:
                place = places.pop()
                taken.add(place)
                yield tensor, split_right[place][1]
            else:
                kept.append((pieces, tensor))
        split_left = kept
        split_right = [row for place, row in enumerate(split_right) if place not in taken]
        if not split_left or not split_right:
            return


def _pieces(tensor: Tensor) -> tuple[str, ...]:
    return tuple(tensor.side.name.replace("/", ".").split("."))


def pair_by_prefix(lone_a: Sequence[Tensor], lone_b: Sequence[Tensor]) -> list[Pair]:
    """Pair what is left of each section by one prefix that A's or B's names have and B's lack.

    Only a prefix that pairs at least half of the smaller side, shapes and all, is believed.
    """
    pairs: list[Pair] = []
    for section in dict.fromkeys(tensor.side.section for tensor in lone_a):
        ours = [tensor for tensor in lone_a if tensor.side.section == section]
        theirs = [tensor for tensor in lone_b if tensor.side.section == section]
        if theirs:
            pairs += _with_one_prefix(ours, theirs)
    return pairs


def _with_one_prefix(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> list[Pair]:
    names = {tensor.side.name: tensor for tensor in theirs}
    ours_by_name = {tensor.side.name: tensor for tensor in ours}
    best: list[Pair] = []
    for head in _heads(ours_by_name, names):
        pairs = [
            (tensor, names[name[len(head) :]])
            for name, tensor in ours_by_name.items()
            if name.startswith(head) and name[len(head) :] in names
        ]
        best = max(best, pairs, key=_n_alike)
    for head in _heads(names, ours_by_name):
        pairs = [
            (ours_by_name[name[len(head) :]], tensor)
            for name, tensor in names.items()
            if name.startswith(head) and name[len(head) :] in ours_by_name
        ]
        best = max(best, pairs, key=_n_alike)
    return best if best and 2 * _n_alike(best) >= min(len(ours), len(theirs)) else []


def _n_alike(pairs: Sequence[Pair]) -> int:
    return sum(a.side.shape == b.side.shape for a, b in pairs)


def _heads(long: Iterable[str], short: Iterable[str]) -> list[str]:
    """Beginnings that names of one side have before a name of the other, the most frequent few."""
    known = set(short)
    found: Counter[str] = Counter()
    for name in long:
        pieces = name.split(".")
        for cut in range(1, len(pieces)):
            if ".".join(pieces[cut:]) in known:
                found[".".join(pieces[:cut]) + "."] += 1
    return [head for head, _ in found.most_common(MAX_HEADS)]

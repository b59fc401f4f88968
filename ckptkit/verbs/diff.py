"""The verb ``diff``: what two checkpoints of any kind have in common, and what not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path as FilePath
from typing import Any

from ckptkit.errors import MismatchError
from ckptkit.nodes import MapNode, Node, TensorNode
from ckptkit.types import Notice
from ckptkit.verbs.diffing.digests import DigestBook, recorded_digests
from ckptkit.verbs.diffing.figures import Tolerance, compare_values
from ckptkit.verbs.diffing.leaves import Leaf, section_leaves, with_parameter_names
from ckptkit.verbs.diffing.pairing import (
    Pair,
    Tensor,
    as_tensor,
    pair_by_digest,
    pair_by_prefix,
)
from ckptkit.verbs.diffing.settings import compare_settings
from ckptkit.verbs.diffing.ties import tie_notices
from ckptkit.verbs.diffing.values import (
    KINDS,
    Compared,
    DiffOptions,
    DiffReport,
    Figures,
    TensorRow,
)
from ckptkit.verbs.open import Checkpoint, load

__all__ = ["DiffOptions", "DiffReport", "diff"]

FILES = "files"  # the section that side files are told under
ORIGIN = "provenance"  # says where a checkpoint came from, not what is in it
_Leaves = dict[tuple[Any, ...], Leaf]


def diff(a: FilePath | str, b: FilePath | str, options: DiffOptions | None = None) -> DiffReport:
    """Compare two checkpoints of any kind, section by section of the version 2 document.

    Memory: a few MiB, whatever their size. A sealed checkpoint has digests, and no byte of what
    they show to be equal is read. Raises: MismatchError for a section that neither has;
    ChecksumError with ``verify``; InputError, ContainerError, SchemaError, DialectError.
    """
    options = options or DiffOptions()
    limits = options.limits
    with (
        load(a, dialect=options.dialect_a, limits=limits) as one,
        load(b, dialect=options.dialect_b, limits=limits) as other,
    ):
        return _Comparison(one, other, options).report()


class _Comparison:
    """One comparison: leaves, pairs, digests, figures, in this order."""

    def __init__(self, one: Checkpoint, other: Checkpoint, options: DiffOptions) -> None:
        self.one, self.other, self.options = one, other, options
        self.notices: list[Notice] = []
        recorded = recorded_digests(one) | recorded_digests(other)
        self.book = DigestBook(recorded, options)
        self.values_a, self.values_b = _Leaves(), _Leaves()
        self.tensors_a: dict[tuple[Any, ...], Tensor] = {}
        self.tensors_b: dict[tuple[Any, ...], Tensor] = {}

    def report(self) -> DiffReport:
        """Compare everything."""
        self._collect()
        rows = self._tensor_rows()
        settings = compare_settings(self.values_a, self.values_b)
        self.notices += tie_notices(self.tensors_a, self.tensors_b)
        if settings.n_lone_attributes:
            message = (
                f"attributes such as _metadata that only one of both has ("
                f"{settings.n_lone_attributes:,}) do not count"
            )
            self.notices.append(Notice("info", "lone-attributes", message))
        return DiffReport(
            a=_compared(self.one), b=_compared(self.other),
            rows=tuple(sorted(rows, key=_gravity)), settings=tuple(settings.rows),
            n_settings=settings.n_compared, notices=tuple(self.notices),
        )  # fmt: skip

    # -- leaves ---------------------------------------------------------------------------------

    def _collect(self) -> None:
        documents = _with_files(self.one), _with_files(self.other)
        names = list(dict.fromkeys(str(name) for document in documents for name in document))
        wanted = self.options.sections
        for name in wanted:
            if name not in names:
                raise MismatchError(
                    self.one.path, f"neither it nor {self.other.path} has a section {name!a}",
                    f"one of {', '.join(names)}",
                )  # fmt: skip
        for name in wanted or [name for name in names if name != ORIGIN]:
            pair = [document.get(name, _ABSENT) for document in documents]
            self._collect_section(name, *pair)

    def _collect_section(self, name: str, ours: Node, theirs: Node) -> None:
        if ours is not _ABSENT and theirs is not _ABSENT:
            ours, theirs = with_parameter_names(name, ours, theirs)
        for node, checkpoint, tensors, values in (
            (ours, self.one, self.tensors_a, self.values_a),
            (theirs, self.other, self.tensors_b, self.values_b),
        ):
            if node is _ABSENT:
                continue
            budget = self.options.limits.max_nodes(checkpoint.opened.nbytes)
            for leaf in section_leaves(name, node, budget):
                if isinstance(leaf.node, TensorNode):
                    tensors[leaf.key] = as_tensor(leaf)
                else:
                    values[leaf.key] = leaf

    # -- tensors --------------------------------------------------------------------------------

    def _tensor_rows(self) -> list[TensorRow]:
        ours, theirs = self.tensors_a, self.tensors_b
        named = [(tensor, theirs[key]) for key, tensor in ours.items() if key in theirs]
        lone_a = [tensor for key, tensor in ours.items() if key not in theirs]
        lone_b = [tensor for key, tensor in theirs.items() if key not in ours]
        if self.options.values:
            alike = [pair for pair in named if pair[0].form == pair[1].form]
            self.book.learn(tensor for pair in alike for tensor in pair)
        unequal = [pair for pair in named if not self._is_equal(pair)]
        rows = [TensorRow(self._equal_kind(pair), pair[0].side, pair[1].side)
                for pair in named if self._is_equal(pair)]  # fmt: skip
        renamed, moved, twins = self._by_digest(lone_a, lone_b, unequal)
        rows += [TensorRow("renamed", one.side, other.side) for one, other in renamed]
        rows += [TensorRow("moved", one.side, other.side) for one, other in moved]
        lone_a, lone_b = _less(lone_a, [*renamed, *moved]), _less(lone_b, [*renamed, *moved])
        guessed = pair_by_prefix(lone_a, lone_b)
        lone_a, lone_b = _less(lone_a, guessed), _less(lone_b, guessed)
        rows += self._measured([*unequal, *guessed], twins)
        rows += [TensorRow("only-a", t.side, None, twin=twins.get(id(t.leaf), "")) for t in lone_a]
        rows += [TensorRow("only-b", None, t.side, twin=twins.get(id(t.leaf), "")) for t in lone_b]
        return rows

    def _is_equal(self, pair: Pair) -> bool:
        one, other = pair
        if one.form != other.form:
            return False
        digests = self.book.of_node
        return digests.get(id(one.node)) == digests.get(id(other.node))

    def _equal_kind(self, pair: Pair) -> str:
        known = id(pair[0].node) in self.book.of_node
        return "equal" if known or not pair[0].side.nbytes else "alike"

    def _by_digest(
        self, lone_a: list[Tensor], lone_b: list[Tensor], unequal: list[Pair]
    ) -> tuple[list[Pair], list[Pair], dict[int, str]]:
        """Renamed and moved ones; and, of what is left, the place of the same bytes."""
        if not self.options.values:
            return [], [], {}
        pool_a = [*lone_a, *(one for one, _ in unequal)]
        pool_b = [*lone_b, *(other for _, other in unequal)]
        forms = {t.form for t in pool_a} & {t.form for t in pool_b}
        self.book.learn(t for t in (*pool_a, *pool_b) if t.form in forms)
        renamed, moved = pair_by_digest(lone_a, lone_b, self.book.of_node)
        found = [*renamed, *moved]
        across = pair_by_digest(_less(pool_a, found), _less(pool_b, found), self.book.of_node)[1]
        self._tell_crossings([*moved, *across])
        twins = {id(one.leaf): other.side.place for one, other in across}
        twins |= {id(other.leaf): one.side.place for one, other in across}
        return renamed, moved, twins

    def _tell_crossings(self, pairs: Sequence[Pair]) -> None:
        counts: dict[tuple[str, str], int] = {}
        for one, other in pairs:
            crossing = one.side.section, other.side.section
            counts[crossing] = counts.get(crossing, 0) + 1
        for (ours, theirs), count in counts.items():
            are = "1 tensor of A's {} lies" if count == 1 else f"{count:,} tensors of A's {{}} lie"
            message = f"{are.format(ours)} in B's {theirs}, to the bit"
            self.notices.append(Notice("info", "crossed-sections", message))

    def _measured(self, pairs: Sequence[Pair], twins: dict[int, str]) -> Iterable[TensorRow]:
        """Pairs that are known not to be equal, with how far they are apart."""
        options = self.options
        todo = [pair for pair in pairs if pair[0].side.shape == pair[1].side.shape]
        if options.values and options.started is not None:
            nbytes = sum(one.side.nbytes + other.side.nbytes for one, other in todo)
            options.started("comparing", nbytes)
        for one, other in pairs:
            figures = None
            if options.values and one.side.shape == other.side.shape:
                tolerance = Tolerance(options.rtol, options.atol)
                figures = compare_values(one.node, other.node, tolerance, options.progress)
            twin = twins.get(id(one.leaf)) or twins.get(id(other.leaf)) or ""
            yield TensorRow(self._kind(one, other, figures), one.side, other.side, figures, twin)

    def _kind(self, one: Tensor, other: Tensor, figures: Figures | None) -> str:
        if one.side.shape != other.side.shape:
            return "shape"
        if one.side.dtype != other.side.dtype:
            return "dtype"
        if figures is None and not self.options.values:
            return "renamed"  # paired by a prefix, and nobody looked at the values
        is_close = figures is not None and figures.is_close and self.options.is_tolerant
        if is_close and one.side.place == other.side.place:
            return "close"
        return "renamed" if is_close else "values"


_ABSENT = object()


def _with_files(checkpoint: Checkpoint) -> MapNode:
    """The document, and the side files as one more section, if there are any."""
    opened, document = checkpoint.opened, checkpoint.document
    if checkpoint.sealed is None:
        files = opened.properties.get("side_files")
    else:
        kinds = {entry.name: entry.kind for entry in checkpoint.sealed.manifest.files}
        blobs = opened.root["files"]
        files = MapNode({name: blobs[name] for name, kind in kinds.items() if kind == "side"})
    if not isinstance(files, MapNode) or not len(files) or FILES in document:
        return document
    return MapNode([*document.items(), (FILES, files)])


def _compared(checkpoint: Checkpoint) -> Compared:
    container = checkpoint.opened.container
    return Compared(checkpoint.path, container, checkpoint.dialect, checkpoint.schema_version)


def _less(tensors: Sequence[Tensor], pairs: Iterable[Pair]) -> list[Tensor]:
    gone = {id(tensor.leaf) for pair in pairs for tensor in pair}
    return [tensor for tensor in tensors if id(tensor.leaf) not in gone]


def _gravity(row: TensorRow) -> tuple[int, float]:
    """The gravest kind first; of one kind what is not finite, then the largest difference."""
    figures = row.figures
    far = 0.0 if figures is None else figures.relative_l2
    if figures is not None and any(len({*counts}) > 1 for counts in (figures.n_nan, figures.n_inf)):
        far = math.inf
    return KINDS.index(row.kind), -far

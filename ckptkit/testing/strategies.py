"""Hypothesis strategies for everything a checkpoint can hold; needs hypothesis.

``nodes()`` draws trees of nodes, ``states()`` live Python values, ``documents()`` version 1
documents. What they draw is odd on purpose: cycles, aliases, ties, surrogates, NaN payloads,
huge integers, compound keys.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from functools import cache
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from hypothesis import strategies as st

from ckptkit.nodes import (
    Atom,
    BlobNode,
    GlobalName,
    IndexRule,
    MapNode,
    Node,
    Record,
    SeqNode,
    Storage,
    TensorNode,
)
from ckptkit.types import DTYPES, contiguous_strides

HOWS = ("call", "new", "persistent", "extension")
V1_KEYS = (
    "model", "ema", "optimizer", "scheduler", "scaler", "rng", "data", "history", "config",
    "trackers", "provenance", "extra", "metrics", "best", "epoch", "step", "samples",
)  # fmt: skip


class HeldBytes:
    """A ByteSource over bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self.content, self.nbytes = content, len(content)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on."""
        out.cast("B")[:] = self.content[offset : offset + out.nbytes]


@cache
def texts() -> st.SearchStrategy[str]:
    """Any text, lone surrogates and control characters included."""
    return st.text(st.characters(exclude_categories=()), max_size=8)


@cache
def integers() -> st.SearchStrategy[int]:
    """Integers on both sides of every width that the format knows."""
    edges = [edge + d for edge in (0, 2**63, 2**64, -(2**63), 2**200) for d in (-1, 0, 1)]
    return st.one_of(st.integers(), st.sampled_from(edges))


@cache
def floats() -> st.SearchStrategy[float]:
    """Any of the 2**64 floats: signed zeros, infinities, NaNs with payloads."""
    bits = st.one_of(st.integers(0, 2**64 - 1), st.integers(0x7FF0 << 48, 0x7FFF << 48))
    wild = bits.map(lambda value: struct.unpack("<d", struct.pack("<Q", value))[0])
    return st.one_of(st.floats(), wild)


@cache
def scalars() -> st.SearchStrategy[Any]:
    """Plain scalar nodes."""
    return st.one_of(
        st.none(), st.booleans(), integers(), floats(), st.builds(complex, floats(), floats()),
        texts(), st.binary(max_size=8),
    )  # fmt: skip


@st.composite
def storages(draw: st.DrawFn) -> Storage:
    """A storage of a few bytes, or a meta storage."""
    content = bytes(draw(st.binary(max_size=4)).ljust(64, b"\x7f"))
    source = None if draw(st.integers(0, 9)) == 0 else HeldBytes(content)
    return Storage(draw(texts()), 64, source, draw(st.sampled_from(["cpu", "cuda:0"])))


@st.composite
def tensors(draw: st.DrawFn) -> TensorNode:
    """A tensor of a few elements."""
    storage = draw(storages())
    dtype = DTYPES[draw(st.sampled_from(["float32", "uint8", "int64", "complex128"]))]
    shape = tuple(draw(st.lists(st.integers(0, 2), max_size=2)))
    extra = MapNode({"hooks": draw(scalars())}) if draw(st.integers(0, 9)) == 0 else None
    rule = IndexRule("plain", (draw(st.integers(0, 9)),)) if draw(st.integers(0, 9)) == 0 else None
    flavours = ["tensor", "parameter", "ndarray"] if storage.source is not None else ["meta"]
    return TensorNode(
        dtype=dtype, shape=shape, strides=contiguous_strides(shape), offset=0, storage=storage,
        flavour=draw(st.sampled_from(flavours)), requires_grad=draw(st.booleans()),
        rule=rule, extra=extra,
    )  # fmt: skip


@cache
def names() -> st.SearchStrategy[GlobalName]:
    """Names that a pickle could refer to."""
    return st.builds(GlobalName, texts(), texts())


@cache
def keys() -> st.SearchStrategy[Node]:
    """Mapping keys: mostly text, sometimes anything that can be hashed."""
    plain = st.one_of(texts(), texts(), scalars(), names())
    frozen = st.lists(plain, max_size=3).map(lambda items: SeqNode(items, "tuple"))
    atoms = plain.map(lambda value: Atom("PosixPath", (value,)))
    return st.one_of(texts(), plain, frozen, atoms, frozen.map(lambda x: SeqNode([x], "frozenset")))


def _mapping(children: st.SearchStrategy[Node]) -> st.SearchStrategy[MapNode]:
    def make(pairs: list[tuple[Node, Node]], kind: str, attrs: Any, factory: Any) -> MapNode:
        node = MapNode(pairs, kind, None if attrs is None else MapNode(attrs))
        node.factory = factory if kind == "defaultdict" else None
        return node

    return st.builds(
        make, st.lists(st.tuples(keys(), children), max_size=4),
        st.sampled_from(["dict", "dict", "OrderedDict", "defaultdict", "Counter"]),
        st.one_of(st.none(), st.lists(st.tuples(texts(), children), max_size=2)),
        st.one_of(st.none(), names()),
    )  # fmt: skip


def _sequence(children: st.SearchStrategy[Node]) -> st.SearchStrategy[SeqNode]:
    kinds = ["list", "tuple", "set", "frozenset", "deque", "torch.Size"]
    attrs = st.one_of(st.none(), children.map(lambda value: MapNode({"maxlen": value})))
    return st.builds(SeqNode, st.lists(children, max_size=4), st.sampled_from(kinds), attrs)


def _record(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Record]:
    lists = st.one_of(st.none(), st.lists(children, max_size=3))
    maps = st.one_of(st.none(), _mapping(children))
    args = st.lists(children, max_size=3).map(tuple)
    return st.builds(Record, names(), st.sampled_from(HOWS), args, maps, lists, lists, maps)


@cache
def _trees(max_leaves: int) -> st.SearchStrategy[Node]:
    """Trees without aliases; built once, because building a strategy costs more than a draw."""
    blobs = st.builds(BlobNode, texts(), st.just(3), st.just(HeldBytes(b"abc")))
    leaves = st.one_of(scalars(), scalars(), names(), tensors(), tensors(), blobs)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            _mapping(inner), _sequence(inner), _record(inner),
            st.builds(Atom, texts(), st.lists(inner, max_size=3).map(tuple)),
        ),
        max_leaves=max_leaves,
    )  # fmt: skip


@st.composite
def nodes(draw: st.DrawFn, max_leaves: int = 10, *, knots: bool = True) -> Node:
    """A tree of nodes; with ``knots`` its parts are tied, aliased, or hold themselves."""
    root = draw(_trees(max_leaves))
    if knots:
        _tie_tensors(draw, root)
        _tie_knots(draw, root)
    return root


def _tie_tensors(draw: st.DrawFn, root: Node) -> None:
    """Let some tensors look into the storage of the first one, often at the same bytes."""
    from ckptkit.tree import walk

    found = [node for _, node in walk(root) if type(node) is TensorNode and node.storage.source]
    for node in found[1:]:
        if draw(st.booleans()):
            node.storage = found[0].storage
            if draw(st.booleans()):
                node.dtype, node.shape = found[0].dtype, found[0].shape
                node.strides = found[0].strides


def _tie_knots(draw: st.DrawFn, root: Node) -> None:
    """Let containers that the tree has hold other nodes of it: aliases and cycles."""
    from ckptkit.tree import walk

    compound = (MapNode, SeqNode, Record, Atom, TensorNode, BlobNode)
    found = [node for path, node in walk(root) if ".keys" not in path and type(node) in compound]
    holders = [node for node in found if type(node) in (MapNode, SeqNode, Record)]
    if not holders:
        return
    for _ in range(draw(st.integers(0, 3))):
        holder, held = draw(st.sampled_from(holders)), draw(st.sampled_from(found))
        if type(holder) is MapNode:
            holder[draw(texts())] = held
        elif type(holder) is SeqNode:
            holder.items.append(held)
        else:
            holder.items = [*(holder.items or []), held]


@cache
def _hashable() -> st.SearchStrategy[Any]:
    """Live values that can be keys, none of them equal to one of another type."""
    plain = st.one_of(
        texts(), st.binary(max_size=4), st.none(), integers().filter(lambda n: n not in (0, 1)),
        st.dates(), st.fractions().filter(lambda value: value.denominator != 1),
    )  # fmt: skip
    return st.one_of(plain, st.lists(plain, max_size=2).map(tuple), st.frozensets(plain))


@cache
def live_atoms() -> st.SearchStrategy[Any]:
    """Live values of the standard library that have an exact atom."""
    zones = st.one_of(
        st.none(), st.just(dt.UTC), st.just(dt.timezone(dt.timedelta(minutes=-90), "odd"))
    )
    return st.one_of(
        st.binary(max_size=4).map(bytearray), st.builds(range, st.integers(-9, 9)),
        st.builds(slice, st.integers(-9, 9), st.none(), st.integers(1, 3)), st.just(...),
        st.dates(), st.timedeltas(), st.datetimes(timezones=zones), st.times(timezones=zones),
        st.decimals(allow_nan=False),
        st.just(Decimal("-NaN12")), st.fractions(), st.uuids(),
        st.sampled_from(["", "a/b", "/x", "..", "C:\\x"]).map(PurePosixPath),
        st.sampled_from(["", "a\\b", "C:\\x"]).map(PureWindowsPath),
    )  # fmt: skip


def states(max_leaves: int = 20) -> st.SearchStrategy[Any]:
    """Live Python values that round-trip exactly, as a training script might keep them."""

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        pairs = st.lists(st.tuples(_hashable(), inner), max_size=4)
        return st.one_of(
            pairs.map(dict), pairs.map(OrderedDict), pairs.map(lambda x: defaultdict(list, x)),
            st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple),
            st.lists(inner, max_size=3).map(lambda items: deque(items, 5)),
            st.sets(_hashable(), max_size=3), st.frozensets(_hashable(), max_size=3),
            st.lists(inner, min_size=1, max_size=2).map(lambda x: [x, x, {"again": x[0]}]),
            st.dictionaries(texts(), st.integers(0, 9), max_size=3).map(Counter),
        )  # fmt: skip

    return st.recursive(st.one_of(scalars(), live_atoms()), extend, max_leaves=max_leaves)


@cache
def _counts() -> st.SearchStrategy[Any]:
    return st.one_of(st.integers(-2, 99), st.floats(0, 9), scalars())


@st.composite
def documents(draw: st.DrawFn) -> MapNode:
    """A version 1 document: known keys, unknown keys, counts of every meaning."""
    chosen = draw(st.lists(st.sampled_from(V1_KEYS), unique=True, max_size=5))
    pairs = [(key, draw(nodes(4))) for key in chosen]
    for key in ("epoch", "step"):
        if key in chosen:
            meaning = draw(st.sampled_from(["completed", "last", "next", "unknown"]))
            pairs += [(key, draw(_counts())), (f"{key}_means", meaning)]
    unknown = draw(st.lists(st.tuples(texts(), nodes(3)), max_size=2))
    return MapNode([*pairs, *unknown])

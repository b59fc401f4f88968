"""The state of a checkpoint as inert data: the one form that all rooms hand each other.

A node is a plain scalar (None, bool, int, float, complex, str, bytes) or one of the classes
here. Nodes may share children and may form cycles, as pickles do, so whoever walks them does
it iteratively and remembers whom it has met (``ckptkit.tree``). No node ever holds a live
class or function of the file: a name is only ever a ``GlobalName``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from ckptkit.types import DType

Node: TypeAlias = Any  # None | bool | int | float | complex | str | bytes | a class of this module
PathKey: TypeAlias = Any  # a mapping key, a sequence index, or ".name" for an attribute
Path: TypeAlias = tuple[PathKey, ...]


class ByteSource(Protocol):
    """Random access to the bytes of one storage, wherever they lie."""

    nbytes: int

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on.

        Raises: TruncatedFileError, ChecksumError or another ContainerError; never short.
        """


class GlobalName(NamedTuple):
    """A name that a pickle refers to: text, never resolved. ``text`` is ``module.qualname``."""

    module: str
    qualname: str

    @property
    def text(self) -> str:
        """The dotted form, for people."""
        return f"{self.module}.{self.qualname}"


@dataclass(slots=True, eq=False)
class Storage:
    """A run of bytes that tensors look into; tensors of one Storage object share memory.

    ``source`` is None for meta tensors. ``byteorder`` is that of the elements in the source.
    """

    key: str
    nbytes: int
    source: ByteSource | None
    device: str = "cpu"
    byteorder: str = "little"


class IndexRule(NamedTuple):
    """What the values of an index tensor must obey, checked before its bytes are handed out.

    ``kind``: "coo" (row i of [ndim, nnz] is in ``range(limits[i])``), "compressed" (starts at 0,
    never falls, each step at most limits[1], ends at limits[0]), "plain" (``range(limits[0])``).
    """

    kind: str
    limits: tuple[int, ...]


@dataclass(slots=True, eq=False, kw_only=True)
class TensorNode:
    """A tensor or array: a strided view of a storage. Its bytes are read only on request.

    Shapes: ``strides`` and ``offset`` are in elements of ``dtype``, as torch counts them; they
    were validated against the storage before this object was made.
    ``flavour`` is "tensor", "parameter", "ndarray" or "meta". An ndarray whose dtype has no
    torch name has dtype uint8, a last axis of one item's bytes, and ``numpy_dtype`` (else "").
    ``extra`` holds what else the file says: quantizer, hooks, attributes, as a MapNode.
    """

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    storage: Storage
    flavour: str = "tensor"
    requires_grad: bool = False
    conj: bool = False
    neg: bool = False
    numpy_dtype: str = ""
    rule: IndexRule | None = None
    extra: MapNode | None = None

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor itself (contiguous), whatever its storage holds."""
        return math.prod(self.shape) * self.dtype.nbytes

    def same_view(self) -> tuple[Any, ...]:
        """Equal for two nodes exactly if they show the same bytes in the same way (a tie)."""
        return (
            id(self.storage), self.offset, self.shape, self.strides, self.dtype.name,
            self.conj, self.neg, self.numpy_dtype,
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class BlobNode:
    """A whole side file (a config.json, a tokenizer) that travels as it is."""

    name: str
    nbytes: int
    source: ByteSource


@dataclass(slots=True, eq=False)
class Atom:
    """A value of a type that ckptkit knows and can give back exactly.

    ``kind`` and ``args`` (nodes) are fixed by docs/format.md section "Atoms", for example
    ``Atom("torch.dtype", ("float32",))`` or ``Atom("PosixPath", ("/runs/a",))``.
    """

    kind: str
    args: tuple[Node, ...]


_ABSENT = object()


def _key_token(key: Node) -> Any:
    """A hashable stand-in for ``key``, equal exactly when Python would call the keys equal.

    Integers and floats of a hostile file could all collide in Python's own hash; a string
    cannot be made to (its hash is keyed), so everything but a string becomes text in a tuple.
    """
    if type(key) is str:
        return key
    if key is None:
        return ("none",)
    if isinstance(key, bool):
        return ("n", hex(int(key)))
    if isinstance(key, int):
        return ("n", hex(key))
    if isinstance(key, float):
        if key.is_integer():
            return ("n", hex(int(key)))
        return ("nan", id(key)) if math.isnan(key) else ("f", key.hex())
    if isinstance(key, complex):
        if not key.imag:
            return _key_token(key.real)
        return ("c", key.real.hex(), key.imag.hex())
    if isinstance(key, bytes):
        return ("b", key)
    if isinstance(key, GlobalName):
        return ("g", key.module, key.qualname)
    return ("o", structural_key(key))


class MapNode:
    """A mapping, loss-free: any node is a key, order is kept, a later pair replaces an earlier.

    ``kind`` is "dict", "OrderedDict", "defaultdict" or "Counter"; ``attrs`` is what BUILD set on
    the object (an OrderedDict's ``_metadata``); ``factory`` a defaultdict's, as data.
    """

    __slots__ = ("_pairs", "attrs", "factory", "kind")
    kind: str
    attrs: MapNode | None
    factory: Node

    def __init__(self, pairs: Any = (), kind: str = "dict", attrs: MapNode | None = None) -> None:
        """Take (key, value) pairs, or a dict with string keys."""
        self.kind, self.attrs, self.factory = kind, attrs, None
        self._pairs: dict[Any, tuple[Node, Node]] | None = None
        for key, value in pairs.items() if isinstance(pairs, dict) else pairs:
            self[key] = value

    def __setitem__(self, key: Node, value: Node) -> None:
        if self._pairs is None:
            self._pairs = {}
        token = key if type(key) is str else _key_token(key)
        old = self._pairs.get(token)
        self._pairs[token] = (key if old is None else old[0], value)

    def __getitem__(self, key: Node) -> Node:
        value = self.get(key, _ABSENT)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def get(self, key: Node, default: Node = None) -> Node:
        """The value of ``key``, or ``default``."""
        if self._pairs is None:
            return default
        pair = self._pairs.get(key if type(key) is str else _key_token(key))
        return default if pair is None else pair[1]

    def __contains__(self, key: Node) -> bool:
        return self.get(key, _ABSENT) is not _ABSENT

    def __len__(self) -> int:
        return len(self._pairs) if self._pairs else 0

    def __bool__(self) -> bool:
        return True  # a node is something, even when it is empty; ask len()

    def __iter__(self) -> Iterator[Node]:
        return iter([key for key, _ in self._pairs.values()] if self._pairs else ())

    def items(self) -> list[tuple[Node, Node]]:
        """The pairs, in order."""
        return list(self._pairs.values()) if self._pairs else []

    def values(self) -> list[Node]:
        """The values, in order."""
        return [value for _, value in self._pairs.values()] if self._pairs else []

    def __repr__(self) -> str:
        return f"<MapNode {self.kind} of {len(self)}>"


@dataclass(slots=True, eq=False, repr=False)
class SeqNode:
    """An ordered collection. ``kind``: list, tuple, set, frozenset, deque or torch.Size.

    A set keeps the order in which the file named its members. ``attrs`` holds a deque's maxlen
    or what BUILD set, under its name.
    """

    items: list[Node]
    kind: str = "list"
    attrs: MapNode | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<SeqNode {self.kind} of {len(self.items)}>"


@dataclass(slots=True, eq=False, repr=False)
class Record:
    """An object of a class or function that we do not know: a label and its parts, inert.

    ``how`` says what the pickle asked for: "call" (REDUCE), "new" (NEWOBJ, OBJ, INST),
    "persistent" (a persistent id), "extension" (EXT1/2/4). ``items`` and ``entries`` are what
    APPEND and SETITEM added, ``states`` what each BUILD gave, in order.
    """

    name: GlobalName
    how: str
    args: tuple[Node, ...] = ()
    kwargs: MapNode | None = None
    states: list[Node] | None = None
    items: list[Node] | None = None
    entries: MapNode | None = None

    @property
    def state(self) -> Node:
        """What the last BUILD gave: as a rule the object's attributes."""
        return self.states[-1] if self.states else None

    def __repr__(self) -> str:
        return f"<Record {self.name.text} {self.how}>"


def structural_key(key: Node) -> bytes:
    """A digest of a compound key: equal for equal contents, each shared part visited once.

    Raises: TypeError for a cycle or an unhashable part (a list, a dict), as Python would.
    """
    from hashlib import blake2b  # only odd keys need it

    done: dict[int, bytes] = {}
    open_ids: set[int] = set()
    stack: list[tuple[Node, bool]] = [(key, False)]
    while stack:
        node, children_done = stack.pop()
        if id(node) in done:
            continue
        parts = _key_parts(node)
        if parts is None:
            done[id(node)] = blake2b(repr(_key_token(node)).encode(), digest_size=16).digest()
        elif children_done:
            open_ids.discard(id(node))
            # An unordered collection is the same whatever order its members were named in.
            digests = [done[id(part)] for part in parts[1]]
            body = b"".join(sorted(digests) if parts[0] == "frozenset" else digests)
            done[id(node)] = blake2b(parts[0].encode() + b":" + body, digest_size=16).digest()
        else:
            if id(node) in open_ids:
                raise TypeError("a key that contains itself")
            open_ids.add(id(node))
            stack.append((node, True))
            stack.extend((part, False) for part in parts[1])
    return done[id(key)]


def _is_scalar(node: Node) -> bool:
    return node is None or isinstance(node, (bool, int, float, complex, str, bytes, GlobalName))


def _key_parts(node: Node) -> tuple[str, list[Node]] | None:
    """The label and children of a compound key; None for a scalar."""
    if isinstance(node, SeqNode):
        if node.kind in ("tuple", "torch.Size"):
            return "tuple", node.items
        if node.kind == "frozenset":
            return "frozenset", node.items
        raise TypeError(f"a {node.kind} cannot be a key")
    if isinstance(node, Atom):
        return f"atom {node.kind}", list(node.args)
    if isinstance(node, Record):
        parts = (node.states, node.items, node.entries, node.kwargs)
        if any(part is not None for part in parts) or not all(map(_is_scalar, node.args)):
            return f"identity {id(node)}", []  # its class alone would know what equals what
        return f"record {node.name.module} {node.name.qualname} {node.how}", list(node.args)
    if isinstance(node, MapNode):
        raise TypeError("a mapping cannot be a key")
    if isinstance(node, (TensorNode, BlobNode)):
        return f"identity {id(node)}", []
    return None

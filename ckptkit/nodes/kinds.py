"""The kinds of nodes, apart from mappings (``mapping.py``)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from ckptkit.types import DType

if TYPE_CHECKING:  # mappings are built on their keys, and keys on these kinds
    from ckptkit.nodes.mapping import MapNode

Node: TypeAlias = Any  # None | bool | int | float | complex | str | bytes | a class of this module
PathKey: TypeAlias = Any  # a mapping key, a sequence index, or ".name" for an attribute
Path: TypeAlias = tuple[PathKey, ...]


class ByteSource(Protocol):
    """Random access to the bytes of one storage, wherever they lie.

    Two things a source may offer beside this. ``memory``: a memoryview of all its bytes, where
    they are in memory already (good while the source lives), so that nobody copies them to look
    at them. ``gather(tensor)``: the contiguous bytes of a view of it, where it knows a faster
    way than ``containers.logical``.
    """

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


@dataclass(slots=True, eq=False, repr=False)
class SeqNode:
    """An ordered collection. ``kind``: list, tuple, set, frozenset, deque or torch.Size.

    A set keeps the order in which the file named its members. ``attrs`` holds a deque's maxlen
    or what BUILD set, under its name. ``digest`` belongs to ``keys.structural_key``.
    """

    items: list[Node]
    kind: str = "list"
    attrs: MapNode | None = None
    digest: bytes | None = None

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

"""Storages as a pickle stream names them: by a persistent id that the container resolves."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.errors import PickleStreamError, TensorBoundsError
from ckptkit.nodes import GlobalName, Node, Record, SeqNode, Storage, TensorNode
from ckptkit.types import DTYPES, DType

STORAGE_STEMS = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128",
    "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32", "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
}  # fmt: skip
_UNTYPED_NAMES = (
    ("torch.storage", "UntypedStorage"), ("torch.storage", "_UntypedStorage"),
    ("torch", "UntypedStorage"), ("torch", "_UntypedStorage"), ("torch.cuda", "UntypedStorage"),
)  # fmt: skip
STORAGE_DTYPES: dict[tuple[str, str], DType | None] = {
    **{
        (module, f"{stem}Storage"): DTYPES[name]
        for module in ("torch", "torch.cuda", "torch.storage")
        for stem, name in STORAGE_STEMS.items()
    },
    **dict.fromkeys(_UNTYPED_NAMES),
}
_UNTYPED = GlobalName(*_UNTYPED_NAMES[0])
_MAX_NUMEL = 1 << 59  # of 16 bytes each: more than an int64 counts


class StorageId(NamedTuple):
    """A well-formed ``('storage', type, key, location, numel[, view])`` persistent id.

    Units: ``nbytes`` is the size of the whole storage; ``view`` is (key, offset, numel) in
    elements of ``dtype``, or None. ``dtype`` is None for an untyped storage, counted in bytes.
    """

    name: GlobalName
    dtype: DType | None
    key: str
    location: str
    nbytes: int
    view: tuple[str, int, int] | None


class _Held:
    """What a StorageNode stands for, and how often it was pushed and used."""

    __slots__ = ("dtype", "n_pushed", "n_used", "nbytes", "start", "storage")

    def __init__(self, storage: Storage, dtype: DType | None, start: int, nbytes: int) -> None:
        self.storage, self.dtype, self.start, self.nbytes = storage, dtype, start, nbytes
        self.n_pushed = self.n_used = 0


class StorageNode(Record):
    """A storage, or a part of one, on its way to the tensors that look into it.

    One that no tensor takes stays in the tree: ``settle`` makes it a plain Record, whose only
    argument is a flat tensor of everything inside. Units: ``start`` and ``nbytes`` are bytes.
    """

    __slots__ = ()  # the layout of a Record, so that it can become one where it lies

    def __init__(
        self,
        storage: Storage,
        dtype: DType | None,
        start: int = 0,
        nbytes: int | None = None,
        name: GlobalName | None = None,
    ) -> None:
        size = storage.nbytes - start if nbytes is None else nbytes
        super().__init__(name or _UNTYPED, "persistent", (_Held(storage, dtype, start, size),))

    @property
    def held(self) -> _Held:
        """The storage itself."""
        found: _Held = self.args[0]
        return found

    @property
    def storage(self) -> Storage:
        """The storage, whole."""
        return self.held.storage

    def settle(self) -> None:
        """Become a plain Record."""
        held = self.held
        # A view between two elements has no flat tensor of its dtype: then it has one of bytes.
        fits = held.dtype is not None and held.start % held.dtype.nbytes == 0
        dtype = held.dtype if held.dtype is not None and fits else DTYPES["uint8"]
        flat = TensorNode(
            dtype=dtype, shape=(held.nbytes // dtype.nbytes,), strides=(1,),
            offset=held.start // dtype.nbytes, storage=held.storage,
        )  # fmt: skip
        self.args = (flat,)
        self.__class__ = Record  # type: ignore[assignment]


def settle_storages(pushed: list[StorageNode]) -> None:
    """Settle every storage that was pushed more often than tensors took it."""
    for node in pushed:
        if type(node) is StorageNode:
            node.held.n_pushed += 1
    for node in pushed:
        if type(node) is StorageNode and node.held.n_pushed > node.held.n_used:
            node.settle()


def parse_storage_id(pid: Node, where: object) -> StorageId | None:
    """Read a persistent id of a storage; None for an id of another kind.

    Raises: PickleStreamError for a storage id whose parts are not what torch writes.
    """
    if type(pid) is not SeqNode or not pid.items or pid.items[0] != "storage":
        return None
    items = pid.items
    if len(items) not in (5, 6) or type(items[1]) is not GlobalName:
        raise PickleStreamError(str(where), "a storage id of an unknown form")
    name, key, location, numel = items[1:5]
    if (name.module, name.qualname) not in STORAGE_DTYPES:
        raise PickleStreamError(
            str(where), f"a storage of the unknown type {name.text[:200]!a}", "a torch storage type"
        )
    if type(key) is int and 0 <= key < 1 << 64:
        key = str(key)
    if location is None:
        location = "cpu"
    if type(key) is not str or type(location) is not str:
        raise PickleStreamError(str(where), "a storage id without a key or a location")
    dtype = STORAGE_DTYPES[name.module, name.qualname]
    nbytes = _count(numel, where) * (dtype.nbytes if dtype else 1)
    view = _view(items[5], where) if len(items) == 6 and items[5] is not None else None
    return StorageId(name, dtype, key, location, nbytes, view)


def _count(value: Node, where: object) -> int:
    if type(value) is int and 0 <= value < _MAX_NUMEL:
        return value
    raise TensorBoundsError(str(where), "a storage of an impossible size", "0 or more elements")


def _view(view: Node, where: object) -> tuple[str, int, int]:
    parts = view.items if type(view) is SeqNode else []
    if len(parts) != 3 or type(parts[0]) not in (str, int):
        raise PickleStreamError(str(where), "a storage view of an unknown form")
    key = parts[0] if type(parts[0]) is str else f"{parts[0]:#x}"
    return key, _count(parts[1], where), _count(parts[2], where)

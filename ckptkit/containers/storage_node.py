"""A storage as a pickle stream passes it to its tensors, and what is left of it by itself."""

from __future__ import annotations

from ckptkit.nodes import GlobalName, Node, Record, Storage, TensorNode
from ckptkit.types import DTYPES, DType

STORAGE_STEMS = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128",
    "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32", "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
}  # fmt: skip
_NAMES = {dtype: GlobalName("torch", f"{stem}Storage") for stem, dtype in STORAGE_STEMS.items()}
_UNTYPED = GlobalName("torch.storage", "UntypedStorage")


class StorageNode(Record):
    """What a container's ``persistent`` returns for a storage; tensors are views of it.

    It is a Record, so that a storage which was saved by itself stays in the tree as a label;
    then its only argument is a flat tensor of everything inside. ``numel`` counts elements of
    ``dtype``, or bytes where ``dtype`` is None (an untyped storage).
    """

    __slots__ = ("_flat", "dtype", "nbytes", "storage")

    def __init__(self, storage: Storage, dtype: DType | None, numel: int) -> None:
        self.storage, self.dtype = storage, dtype
        self.nbytes = numel * dtype.nbytes if dtype else numel
        self._flat: tuple[Node, ...] | None = None
        self.name = _NAMES.get(dtype.name, _UNTYPED) if dtype else _UNTYPED
        self.how = "persistent"
        self.kwargs = self.states = self.items = self.entries = None

    @property
    def args(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The flat tensor, made when somebody asks for it."""
        if self._flat is None:
            dtype = self.dtype or DTYPES["uint8"]
            self._flat = (
                TensorNode(
                    dtype=dtype, shape=(self.nbytes // dtype.nbytes,), strides=(1,), offset=0,
                    storage=self.storage,
                ),
            )  # fmt: skip
        return self._flat

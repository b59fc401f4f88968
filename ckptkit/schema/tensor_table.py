"""The table of all tensors of a checkpoint: columns, so that 100,000 rows parse in milliseconds.

Source: docs/format.md section "Manifest fields".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ckptkit.types import DTYPES, ByteSpan, TensorSpec

FLAVOURS = ("tensor", "parameter", "ndarray", "meta", "blob")
DIGEST_NBYTES = 16  # xxh3-128, big-endian ("canonical") as xxhash prints it
NO_FILE = -1  # the file of a meta tensor, which has no bytes
NO_DIGEST = bytes(DIGEST_NBYTES)


class TensorRow(NamedTuple):
    """One leaf. ``name`` is its name inside its file, ``span`` counts from the file's first byte.

    ``strides`` is the memory layout it had, None if contiguous; its stored bytes always are.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: int
    span: ByteSpan
    digest: bytes = NO_DIGEST
    flavour: str = "tensor"
    requires_grad: bool = False
    numpy_dtype: str = ""
    device: str = "cpu"
    strides: tuple[int, ...] | None = None


class SharedStorage(NamedTuple):
    """Leaves that looked into one storage without showing the same bytes; each has its own now.

    Units: ``nbytes`` of the storage, ``views`` are (leaf, offset in elements of its dtype).
    """

    nbytes: int
    views: tuple[tuple[int, int], ...]


class TensorTable(NamedTuple):
    """The columns. ``numpy_dtypes`` and ``strides`` hold only the rows that have any."""

    names: Sequence[str] = ()
    dtypes: Sequence[str] = ()
    shapes: Sequence[tuple[int, ...]] = ()
    files: Sequence[int] = ()
    starts: Sequence[int] = ()
    stops: Sequence[int] = ()
    digests: bytes = b""
    flavours: Sequence[str] = ()
    requires_grad: Sequence[bool] = ()
    devices: Sequence[str] = ()
    numpy_dtypes: Mapping[int, str] = {}
    strides: Mapping[int, tuple[int, ...]] = {}
    shared: Sequence[SharedStorage] = ()
    unknown: Mapping[str, Any] = {}

    @classmethod
    def of(cls, rows: Iterable[TensorRow], shared: Sequence[SharedStorage] = ()) -> TensorTable:
        """Turn rows into columns; row i is leaf i of every section's tokens."""
        rows = list(rows)
        names, dtypes, shapes, files, spans, digests, flavours, grads, _, devices, _ = (
            zip(*rows, strict=True) if rows else [()] * len(TensorRow._fields)
        )
        return cls(
            names=names,
            dtypes=dtypes,
            shapes=shapes,
            files=files,
            starts=[span.start for span in spans],
            stops=[span.stop for span in spans],
            digests=b"".join(digests),
            flavours=flavours,
            requires_grad=grads,
            devices=devices,
            numpy_dtypes={i: row.numpy_dtype for i, row in enumerate(rows) if row.numpy_dtype},
            strides={i: row.strides for i, row in enumerate(rows) if row.strides is not None},
            shared=tuple(shared),
        )

    def rows(self) -> Iterator[TensorRow]:
        """Yield every row, in the order of the leaves."""
        n_rows = len(self.names)
        return map(
            TensorRow,
            self.names,
            self.dtypes,
            self.shapes,
            self.files,
            map(ByteSpan, self.starts, self.stops),
            map(self.digest, range(n_rows)),
            self.flavours,
            self.requires_grad,
            [self.numpy_dtypes.get(i, "") for i in range(n_rows)],
            self.devices,
            map(self.strides.get, range(n_rows)),
        )

    def row(self, index: int) -> TensorRow:
        """Return one row."""
        return TensorRow(
            self.names[index],
            self.dtypes[index],
            self.shapes[index],
            self.files[index],
            self.span(index),
            self.digest(index),
            self.flavours[index],
            self.requires_grad[index],
            self.numpy_dtypes.get(index, ""),
            self.devices[index],
            self.strides.get(index),
        )

    def spec(self, index: int) -> TensorSpec:
        """Return name, dtype and shape of one row."""
        return TensorSpec(self.names[index], DTYPES[self.dtypes[index]], self.shapes[index])

    def span(self, index: int) -> ByteSpan:
        """Return where the bytes of one row lie in its file."""
        return ByteSpan(self.starts[index], self.stops[index])

    def digest(self, index: int) -> bytes:
        """Return the xxh3-128 of the bytes of one row."""
        return self.digests[DIGEST_NBYTES * index : DIGEST_NBYTES * (index + 1)]

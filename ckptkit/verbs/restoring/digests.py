"""Which digest a tensor of a sealed checkpoint must have."""

from __future__ import annotations

from ckptkit.nodes import ByteSource, TensorNode
from ckptkit.storage.digest import DIGEST_NBYTES
from ckptkit.types import contiguous_strides
from ckptkit.verbs.open import Checkpoint


class DigestBook:
    """Finds the xxh3-128 of stored tensors by the bytes that they show."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._rows: dict[int, int] = {}
        self._leaves: dict[int, int] = {}  # the tensors of the table themselves: whole, plain
        if checkpoint.sealed is not None:
            sealed = checkpoint.sealed
            self._table = sealed.manifest.tensors
            blobs = checkpoint.opened.root["files"]
            self._files = [blobs[entry.name].source for entry in sealed.manifest.files]
            self._rows = {
                id(leaf.storage): row
                for row, leaf in enumerate(sealed.leaves)
                if type(leaf) is TensorNode
            }
            self._leaves = {id(leaf): row for row, leaf in enumerate(sealed.leaves)}

    def row_of(self, node: TensorNode) -> int | None:
        """Return the row of a tensor that is one of the table itself, whole: no view of one."""
        return self._leaves.get(id(node))

    def place(self, row: int) -> tuple[ByteSource, int, int, bytes]:
        """Return the file of a row with bytes, where they begin, how many, and their digest."""
        table = self._table
        start = table.starts[row]
        digest = table.digests[DIGEST_NBYTES * row : DIGEST_NBYTES * (row + 1)]
        return self._files[table.files[row]], start, table.stops[row] - start, digest

    def of(self, node: TensorNode | None) -> bytes:
        """Return the digest of the node's contiguous bytes; b"" where nobody took one."""
        row = None if node is None else self._leaves.get(id(node))
        if row is not None:
            return self._table.digest(row)
        row = None if node is None else self._rows.get(id(node.storage))
        if node is None or row is None:
            return b""
        same = node.offset == 0 and node.nbytes == node.storage.nbytes
        if not same or node.strides != contiguous_strides(node.shape):
            return b""  # a view that a migrator made: its bytes are others
        return self._table.digest(row)

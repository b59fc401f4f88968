"""Which digest a tensor of a sealed checkpoint must have."""

from __future__ import annotations

from ckptkit.nodes import ByteSource, TensorNode
from ckptkit.storage.digest import DIGEST_NBYTES
from ckptkit.types import contiguous_strides
from ckptkit.verbs.open import Checkpoint


class DigestBook:
    """Finds the xxh3-128 of stored tensors by the bytes that they show."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._sealed = checkpoint.sealed
        self._leaves: dict[int, int] = {}  # the tensors of the table themselves: whole, plain
        self._storages: dict[int, int] | None = None  # made when a view is asked for
        if checkpoint.sealed is not None:
            sealed = checkpoint.sealed
            self._table = sealed.manifest.tensors
            blobs = checkpoint.opened.root["files"]
            self._files = [blobs[entry.name].source for entry in sealed.manifest.files]
            self._leaves = {id(leaf): row for row, leaf in enumerate(sealed.leaves)}

    def place(self, node: TensorNode) -> tuple[ByteSource, int, int, bytes] | None:
        """Return the file of a tensor of the table itself, where it begins, its size and digest.

        None for a view of one, and for what no table has.
        """
        row = self._leaves.get(id(node))
        if row is None or node.storage.source is None:
            return None
        table = self._table
        start = table.starts[row]
        digest = table.digests[DIGEST_NBYTES * row : DIGEST_NBYTES * (row + 1)]
        return self._files[table.files[row]], start, table.stops[row] - start, digest

    def _row_by_storage(self, node: TensorNode) -> int | None:
        if self._storages is None:
            leaves = () if self._sealed is None else self._sealed.leaves
            self._storages = {
                id(leaf.storage): row for row, leaf in enumerate(leaves) if type(leaf) is TensorNode
            }
        return self._storages.get(id(node.storage))

    def of(self, node: TensorNode | None) -> bytes:
        """Return the digest of the node's contiguous bytes; b"" where nobody took one."""
        row = None if node is None else self._leaves.get(id(node))
        if row is not None:
            return self._table.digest(row)
        row = None if node is None else self._row_by_storage(node)
        if node is None or row is None:
            return b""
        same = node.offset == 0 and node.nbytes == node.storage.nbytes
        if not same or node.strides != contiguous_strides(node.shape):
            return b""  # a view that a migrator made: its bytes are others
        return self._table.digest(row)

"""Which digest a tensor of a sealed checkpoint must have."""

from __future__ import annotations

from ckptkit.nodes import TensorNode
from ckptkit.types import contiguous_strides
from ckptkit.verbs.open import Checkpoint


class DigestBook:
    """Finds the xxh3-128 of stored tensors by the bytes that they show."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._rows: dict[int, int] = {}
        self._digests = b""
        if checkpoint.sealed is not None:
            sealed = checkpoint.sealed
            self._table = sealed.manifest.tensors
            self._rows = {
                id(leaf.storage): row
                for row, leaf in enumerate(sealed.leaves)
                if type(leaf) is TensorNode
            }

    def of(self, node: TensorNode | None) -> bytes:
        """Return the digest of the node's contiguous bytes; b"" where nobody took one."""
        row = None if node is None else self._rows.get(id(node.storage))
        if node is None or row is None:
            return b""
        same = node.offset == 0 and node.nbytes == node.storage.nbytes
        if not same or node.strides != contiguous_strides(node.shape):
            return b""  # a view that a migrator made: its bytes are others
        return self._table.digest(row)

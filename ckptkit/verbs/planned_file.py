"""One file of a checkpoint that is to be written."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.nodes import BlobNode
from ckptkit.types import ByteSpan


class PlannedFile(NamedTuple):
    """One file to be: the numbers of the leaves in it, their names and spans, in file order.

    A data file has a safetensors header before its parts; a side file is one leaf, or a blob
    that the tree does not mention (``leaves`` is empty then), without any header; so is an index.
    """

    name: str
    kind: str  # "data", "side" or "index"
    header: bytes
    leaves: tuple[int, ...]
    names: tuple[str, ...]
    spans: tuple[ByteSpan, ...]
    blob: BlobNode | None = None
    aliases: tuple[tuple[str, str], ...] = ()  # other names of tied tensors: alias, stored

    @property
    def nbytes(self) -> int:
        """Bytes of the whole file."""
        if self.blob is not None:
            return self.blob.nbytes
        return self.spans[-1].stop if self.spans else len(self.header)

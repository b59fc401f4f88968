"""What a save did, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from ckptkit.types import Notice
from ckptkit.verbs.seal import SealedFile

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveReport:
    """A checkpoint that is on disk, whole. Units: bytes.

    ``tensors`` counts what is stored: tied tensors once. ``linked_nbytes`` are those of files that
    are shared with ``parent``, the checkpoint whose digest the provenance names. ``digest`` is
    that of the manifest, in hex: it identifies this checkpoint.
    """

    path: FilePath
    sections: tuple[str, ...]
    files: tuple[SealedFile, ...]
    tensors: int
    tensor_nbytes: int
    written_nbytes: int
    linked_nbytes: int
    digest: str
    parent: str = ""
    notices: tuple[Notice, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"saved {self.path}: {_size(self.tensor_nbytes)} in {self.tensors:,} tensors, "
            f"{_size(self.written_nbytes)} written"
            + (f", {_size(self.linked_nbytes)} linked" if self.linked_nbytes else ""),
            f"  sections: {', '.join(self.sections) or 'none'}",
        ]
        lines += [
            f"  {file.name}: {_size(file.nbytes)}, linked to the parent's, unchanged"
            for file in self.files
            if file.linked
        ]
        return "\n".join([*lines, *(f"  {one.level}: {one.message}" for one in self.notices)])

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "path": str(self.path),
            "sections": list(self.sections),
            "files": [file._asdict() for file in self.files],
            "tensors": self.tensors,
            "tensor_nbytes": self.tensor_nbytes,
            "written_nbytes": self.written_nbytes,
            "linked_nbytes": self.linked_nbytes,
            "digest": self.digest,
            "parent": self.parent,
            "notices": [notice._asdict() for notice in self.notices],
        }


def _size(nbytes: int) -> str:
    value, unit = float(nbytes), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.4g} {_UNITS[unit]}" if unit else f"{nbytes} bytes"

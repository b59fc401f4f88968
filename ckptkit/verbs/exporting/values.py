"""What an export is asked to do, what it plans, and what it did: frozen values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.nodes import ByteSource, Node, TensorNode
from ckptkit.types import DEFAULT_LIMITS, Limits, Notice

FORMS = ("torch", "safetensors", "hf")
DTYPES_TO_CAST_TO = ("float16", "bfloat16", "float32", "float64")
DEFAULT_SHARD_NBYTES = 5_000_000_000  # as transformers has it

Rename = tuple[re.Pattern[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What to write, and how. ``to`` is one of FORMS.

    No ``sections`` means the weights, and for "torch" everything. ``ema`` takes the averaged
    weights for the raw ones. ``dtype`` casts the floating tensors of weights, ``rename`` changes
    their names by regular expressions, one after the other.
    ``config`` is the file that becomes the ``config.json`` of "hf".
    The callbacks are as in ``MigrateOptions``.
    """

    to: str
    sections: tuple[str, ...] = ()
    every_section: bool = False
    ema: bool = False
    dtype: str | None = None
    rename: tuple[tuple[str, str], ...] = ()
    max_shard_nbytes: int = DEFAULT_SHARD_NBYTES
    config: FilePath | str | None = None
    dialect: str | None = None
    limits: Limits = DEFAULT_LIMITS
    dry_run: bool = False
    replace: bool = False
    workers: int = 2
    started: Callable[[int], None] | None = None
    progress: Callable[[int], None] | None = None


class PlannedOutput(NamedTuple):
    """One file to be. ``tree`` is what must be read again in weights.

    ``tensors`` says which part holds the bytes of which tensor of the tree. A zip file has
    ``entries``, a name for each part, and its headers are made when the checksums are known.
    """

    name: str
    kind: str  # "weights", "index" or "side"
    header: bytes
    parts: tuple[ByteSource, ...]
    tree: Node = None
    tensors: tuple[tuple[TensorNode, int], ...] = ()
    entries: tuple[str, ...] = ()

    @property
    def parts_nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts)


class LeftOut(NamedTuple):
    """A value that the form has no room for: its place, and what it is."""

    place: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """Everything that will be written. ``is_folder`` says whether DST is a folder.

    ``missing`` are files without which nothing opens the result.
    """

    outputs: tuple[PlannedOutput, ...]
    sections: tuple[str, ...]
    is_folder: bool
    missing: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notices: tuple[Notice, ...] = ()


class ExportedFile(NamedTuple):
    """One file, as a report shows it."""

    name: str
    kind: str
    nbytes: int
    tensors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was, or with a dry run would be, written. ``proved``: all of it was read back equal.

    ``missing`` are files that the program which is to open it needs, and that nothing here gives.
    """

    source: FilePath
    target: FilePath
    to: str
    container: str
    dialect: str
    sections: tuple[str, ...]
    files: tuple[ExportedFile, ...]
    tensors: int
    tensor_nbytes: int
    missing: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notices: tuple[Notice, ...] = ()
    dry_run: bool = False
    proved: bool = False

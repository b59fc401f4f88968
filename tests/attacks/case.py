"""What a case is: one file or folder, where it comes from, and what a reader owes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: Every class of hostile input that the project promises to handle, in the order of docs/threat-model.md.
CLASSES = (
    "GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "REDUCE", "BUILD", "EXT", "method call",
    "dotted name", "look-alike name", "name with NUL or newline", "gadget", "dangerous argument",
    "argument of an allowed call", "nested pickle", "broken after the payload", "several pickles",
    "legacy pickles", "FRAME and length lies", "memo abuse", "out-of-band buffer", "deep nesting",
    "billion laughs", "cycle", "hash collision", "huge int", "odd key", "tensor bounds",
    "short record", "storage size", "sparse indices", "quantized indices", "numpy object array",
    "zip CRC", "zip flags", "zip local and central differ", "zip duplicates", "zip end record",
    "zip overlap bomb", "zip deflate bomb", "zip path", "zip byteorder or alignment", "polyglot",
    "wrong extension", "tar traversal", "tar links and devices", "tar structure",
    "safetensors header", "safetensors offsets", "safetensors holes and overlaps",
    "safetensors duplicate keys", "safetensors depth", "safetensors dtype", "terminal escapes",
    "folder traversal", "folder symlink", "payload in .metadata", "half-written stage", "manifest",
)  # fmt: skip

Name = tuple[str, str]


class Seen(NamedTuple):
    """One tensor as torch sees it: path-independent, so that multisets can be compared."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


class Built(NamedTuple):
    """A case on disk. ``tensors`` is what an honest one must give, None where nobody asks."""

    path: Path
    tensors: tuple[Seen, ...] | None = None


class Case(NamedTuple):
    """One file or folder and its verdict.

    ``outcome``: "any" (opened inert or refused), "refused" (opening it or using one of its
    tensors must raise a CkptkitError), "opened" (all of it must be readable).
    ``alarm``: True when ``scan`` must say danger, False when it must not, None when both do.
    ``names`` are (module, qualname) pairs that ``scan`` must list. ``live`` is a pickle that
    pickle.loads really executes: the proof that the canary sings.
    """

    name: str
    group: str
    build: Callable[[Path], Built]
    kind: str = "hostile"
    names: tuple[Name, ...] = ()
    alarm: bool | None = None
    outcome: str = "any"
    live: bytes | None = None


def file_of(data: bytes | Callable[[], bytes], suffix: str = ".pt") -> Callable[[Path], Built]:
    """Build a case that is one file with these bytes."""

    def build(folder: Path) -> Built:
        path = folder / f"case{suffix}"
        path.write_bytes(data if isinstance(data, bytes) else data())
        return Built(path)

    return build


def folder_of(files: dict[str, bytes], name: str = "case") -> Callable[[Path], Built]:
    """Build a case that is a folder with these files."""

    def build(folder: Path) -> Built:
        root = folder / name
        root.mkdir()
        for relative, data in files.items():
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return Built(root)

    return build


def seen(dtype: str, shape: tuple[int, ...], data: bytes) -> Seen:
    """Describe a tensor by its contiguous little-endian bytes."""
    return Seen(dtype, tuple(shape), hashlib.sha256(data).hexdigest())

"""The files of a folder of data, without what is nobody's data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ckptkit_trainers.engine.out import CHECKPOINTS

_SHOWN = 3


def files_below(folder: Path) -> list[Path]:
    """Return every file below a folder, by name; linked folders are entered, once each.

    Hidden files and folders are other programs' own, and what a run's folder holds was made by a
    training: neither is entered.
    """
    return sorted(_walked(folder, set()))


def _walked(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    found = folder.stat()
    if (found.st_dev, found.st_ino) in seen:
        return
    seen.add((found.st_dev, found.st_ino))
    for entry in os.scandir(folder):
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_file():
            yield path
        elif entry.is_dir() and not (path / CHECKPOINTS).is_dir():
            yield from _walked(path, seen)


def left_out(folder: Path, used: Callable[[Path], bool]) -> tuple[str, ...]:
    """Tell which files below a folder are not used, and of which endings; nothing if all are."""
    files = [path for path in files_below(folder) if not used(path)]
    if not files:
        return ()
    endings = Counter(path.suffix.lower() or "without an ending" for path in files)
    counts = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    some = ", ".join(path.relative_to(folder).as_posix() for path in files[:_SHOWN])
    more = ", ..." if len(files) > _SHOWN else ""
    return (f"left out of {folder}: {counts} ({some}{more})",)

"""How much of several checkpoints is the same files under more than one name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def shared_nbytes(paths: Iterable[Path]) -> int:
    """Count the bytes that a sum over ``paths`` would count again: files met before (hard links).

    Units: bytes. What cannot be looked at shares nothing.
    """
    seen: set[tuple[int, int]] = set()
    again = 0
    for path in paths:
        for stat in _linked_files(path):
            file = (stat.st_dev, stat.st_ino)
            again += stat.st_size if file in seen else 0
            seen.add(file)
    return again


def _linked_files(path: Path) -> Iterator[os.stat_result]:
    """The stat of each file at or below ``path`` that has a second name somewhere."""
    if path.is_file():
        found = [path]
    else:
        found = [Path(root, name) for root, _, names in os.walk(path) for name in names]
    for one in found:
        try:
            stat = one.lstat()
        except OSError:
            continue
        if stat.st_nlink > 1:
            yield stat

"""Several opened files that are one checkpoint: closed, checked and reported together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.errors import LimitExceededError
from ckptkit.protocols import Check, Opened, StreamScan
from ckptkit.types import Notice

# Left for everything else that a process has open: terminals, libraries, what it writes.
_SPARE_DESCRIPTORS = 64


def require_descriptors(n_files: int, where: object) -> None:
    """Refuse to open more files at once than this process may have.

    Raises: LimitExceededError.
    """
    if n_files <= _SPARE_DESCRIPTORS:
        return
    from resource import RLIMIT_NOFILE, getrlimit

    most = getrlimit(RLIMIT_NOFILE)[0] - _SPARE_DESCRIPTORS
    if n_files > most:
        seen = f"{n_files} files have to be open at once"
        advice = "allow more with: ulimit -n 65536"
        raise LimitExceededError(where, seen, f"at most {most} in this process", advice)


class Parts:
    """The opened files of one checkpoint, by the names that it calls them."""

    def __init__(self) -> None:
        self._opened: dict[str, Opened] = {}

    def add(self, name: str, opened: Opened) -> Opened:
        """Keep one; it is closed with the others. Raises: LimitExceededError."""
        require_descriptors(len(self._opened) + 1, opened.path.parent)
        self._opened[name] = opened
        return opened

    @property
    def nbytes(self) -> int:
        """The bytes of all of them."""
        return sum(opened.nbytes for opened in self._opened.values())

    @property
    def files(self) -> tuple[FilePath, ...]:
        """The files that were read of all of them."""
        found = [opened.files or (opened.path,) for opened in self._opened.values()]
        return tuple(path for paths in found for path in paths)

    def close(self) -> None:
        """Close all of them."""
        for opened in self._opened.values():
            opened.close()

    def checks(self) -> Iterator[Check]:
        """Check all of them, one after the other; every name begins with its file."""
        for name, opened in self._opened.items():
            for check in opened.checks():
                yield check._replace(name=_inside(name, check.name))

    def scans(self) -> tuple[StreamScan, ...]:
        """What the pickle streams met so far would do."""
        return tuple(
            located_scan(name, scan)
            for name, opened in self._opened.items()
            for scan in opened.scans
        )

    def notices(self) -> tuple[Notice, ...]:
        """What their readers want said."""
        return tuple(
            notice._replace(where=_inside(name, notice.where))
            for name, opened in self._opened.items()
            for notice in opened.notices
        )


def _inside(name: str, place: str) -> str:
    plain = not place or place == name or place.endswith(f"/{name}")
    return name if plain else f"{name}: {place}"


def located_scan(name: str, scan: StreamScan) -> StreamScan:
    """The same scan, its stream named from the folder down."""
    stream = _inside(name, scan.stream)
    uses = tuple(use._replace(stream=stream) for use in scan.uses)
    return scan._replace(stream=stream, uses=uses)

"""A migration that Ctrl+C or a signal ends: nothing half-written stays, and what stands is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ckptkit.cli.signals import TerminatedError


@contextmanager
def said_if_ended(source: str, target: str | None, *, recursive: bool) -> Iterator[None]:
    """Clean up after an end from outside, and note at it what stands now that did not before."""
    from ckptkit.verbs.migrate import default_target

    place = default_target(Path(source)) if target is None else Path(target)
    before = _identity(place)
    try:
        yield
    except (KeyboardInterrupt, TerminatedError) as exc:
        if recursive:
            _remove_stages(Path(source if target is None else target), below=True)
            exc.add_note("what was finished before stays, and nothing else was written")
        else:
            _remove_stages(place.parent, below=False)
            finished = _identity(place) != before
            exc.add_note(f"{place} was finished before" if finished else "nothing was written")
        raise


def _remove_stages(folder: Path, *, below: bool) -> None:
    """Remove stages of this process: a signal may come just when a stage was made.

    Only those: what a replace has moved aside ("old") may be the one copy there is.
    """
    from ckptkit.storage.leftovers import find_leftovers, remove
    from ckptkit.storage.owner import current_owner

    for parent, names, _ in os.walk(folder):
        with suppress(OSError):
            for found in find_leftovers(Path(parent)):
                if found.kind == "stage" and found.owner == current_owner():
                    remove(found.path)
        names[:] = [name for name in names if below and not name.startswith(".")]


def _identity(path: Path) -> tuple[int, int] | None:
    """What lies under a name now; a finished migration puts another folder there."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

"""Which checkpoint of a run to go on from: the newest that verifies; the others with a reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ckptkit.errors import CkptkitError, NotFoundError
from ckptkit.nodes import MapNode
from ckptkit.run.aliases import identity
from ckptkit.run.branches import Resume, left_at, resumes_in
from ckptkit.run.by_hand import steps_counted
from ckptkit.run.names import BEST, FOREIGN_SUFFIXES, RNG_FILE, SECOND_NAMES
from ckptkit.storage.catalog import is_leftover
from ckptkit.types import MANIFEST_NAME
from ckptkit.verbs.open import load
from ckptkit.verbs.verify import verify


class Found(NamedTuple):
    """A checkpoint that can be read. ``created`` orders those of one step."""

    path: Path
    epochs: int
    steps: int
    created: str
    identity: bytes | None
    resumes: tuple[Resume, ...] = ()  # those that led to it
    again: tuple[Path, ...] = ()  # second names of the same content

    def __repr__(self) -> str:
        return f"Found({self.path.name!r}, epochs={self.epochs}, steps={self.steps})"

    @property
    def place(self) -> tuple[int, int, str]:
        """What makes one newer than another: steps first, because epochs may be open."""
        return self.steps, self.epochs, self.created


class Skipped(NamedTuple):
    """A folder that was not chosen, and why."""

    path: Path
    reason: str


class Choice(NamedTuple):
    """What was chosen (None: there is nothing), and everything newer that was passed over."""

    chosen: Found | None
    skipped: tuple[Skipped, ...] = ()


def survey(folder: Path) -> tuple[list[Found], list[Skipped]]:
    """Look at every checkpoint in ``folder``, newest first; reads headers, no tensor.

    A second name counts only if no checkpoint of its own name has the same content; else it is
    told there. What the run left behind when it went on from an older checkpoint is skipped.
    """
    found: list[Found] = []
    skipped: list[Skipped] = []
    for path in candidates(folder):
        if os.path.lexists(path / RNG_FILE) and not os.path.lexists(path / MANIFEST_NAME):
            skipped.append(Skipped(path, f"a run has written it, but no {MANIFEST_NAME} seals it"))
            continue
        try:
            found.append(_look(path))
        except CkptkitError as exc:
            if os.path.lexists(path):  # else a training that goes on removed it just now
                skipped.append(Skipped(path, f"{exc.kind}: {exc.seen}"))
    distinct = []
    lines = {one.resumes for one in found}
    for one in _told_once(found):
        left = left_at((one.steps, one.epochs), one.resumes, list(lines))
        if left is None:
            distinct.append(one)
        else:
            told = f"left behind when the run went back to epoch {left.epochs}, step {left.steps}"
            skipped.append(Skipped(one.path, told))
    return sorted(distinct, key=lambda one: one.place, reverse=True), skipped


def _told_once(found: list[Found]) -> list[Found]:
    """Leave out second names of what has a name of its own, which remembers them."""
    named = {one.identity for one in found if one.path.name not in SECOND_NAMES}
    second = [one for one in found if one.path.name in SECOND_NAMES and one.identity in named]
    second.sort(key=lambda one: SECOND_NAMES.index(one.path.name))
    left_out = {one.path for one in second}
    return [
        one._replace(again=tuple(two.path for two in second if two.identity == one.identity))
        for one in found
        if one.path not in left_out
    ]


TRIES = 5  # to choose, while a training that goes on removes what was chosen


def choose(folder: Path, *, checked: Callable[[int], None] | None = None) -> Choice:
    """Choose the newest checkpoint that verifies, byte by byte. ``checked`` gets bytes read.

    Where a training removes one that was to be read, the others are looked at anew.
    """
    choice = _choose(folder, checked)
    for _ in range(TRIES - 1):
        if all(os.path.lexists(one.path) for one in choice.skipped):
            break
        choice = _choose(folder, checked)
    return choice


def _choose(folder: Path, checked: Callable[[int], None] | None) -> Choice:
    found, skipped = survey(folder)
    for one in found:
        whole, reason = find_whole(one, checked)
        if reason:
            skipped.append(Skipped(one.path, reason))
        if whole is not None:
            return Choice(one._replace(path=whole), tuple(skipped))
    return Choice(None, tuple(skipped))


def find_whole(one: Found, checked: Callable[[int], None] | None = None) -> tuple[Path | None, str]:
    """Where a checkpoint lies whole, and what is wrong with it under its own name, or "".

    In a copied run, where hard links became files, a second name may be whole when it is not.
    """
    reason = damage(one.path, checked)
    if not reason:
        return one.path, ""
    copies = (path for path in one.again if not _shares_all(path, one.path))
    return next((path for path in copies if not damage(path, checked)), None), reason


def _shares_all(second: Path, first: Path) -> bool:
    """Whether every file of a checkpoint is the very file that lies under its other name."""
    try:
        return all(
            os.path.samefile(path, first / path.relative_to(second))  # noqa: PTH121 - two paths
            for path in second.rglob("*")
            if path.is_file()
        )
    except OSError:
        return False


def choose_named(folder: Path, name: str, runs: Sequence[str] = ()) -> Choice:
    """Choose one by its name or alias; "latest" and "best" may be said for the aliases.

    ``runs``: what else might have been named.
    Raises: NotFoundError if there is none; the reader's error if it cannot be read.
    """
    if name == "latest":
        return choose(folder)
    path = folder / {"best": BEST}.get(name, name)
    if not os.path.lexists(path):
        there = ", ".join(sorted(one.name for one in candidates(folder))[:8]) or "nothing"
        there += f"; or a run: {', '.join(runs)}" if runs else ""
        raise NotFoundError(
            path, "there is no checkpoint of this name", f"one of those that are there: {there}",
            "name one of them, or latest",
        )  # fmt: skip
    return Choice(_look(path))


def damage(path: Path, checked: Callable[[int], None] | None = None) -> str:
    """Verify one checkpoint; return what is wrong, or ""."""
    try:
        result = verify(path, progress=checked)
    except CkptkitError as exc:
        return f"{exc.kind}: {exc.seen}"
    bad = result.damaged
    if not bad:
        return ""
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"damaged: {bad[0].name} ({bad[0].message}){more}"


def candidates(folder: Path) -> list[Path]:
    """What may be a checkpoint by its name: folders, and files that another program saved.

    No stages, nothing that is hidden.
    """
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if not is_leftover(entry.name)
                and not entry.name.startswith(".")
                and (entry.is_dir() or entry.name.endswith(FOREIGN_SUFFIXES))
            ]
    except OSError:
        return []


def _look(path: Path) -> Found:
    with load(path) as checkpoint:
        progress = checkpoint.document.get("progress")
        return Found(
            path,
            _count(progress, "epochs_completed"),
            _count(progress, "optimizer_steps") or steps_counted(checkpoint.document),
            "" if checkpoint.sealed is None else checkpoint.sealed.manifest.created,
            identity(path),
            resumes_in(checkpoint.document.get("history")),
        )


def _count(progress: object, name: str) -> int:
    value = progress.get(name) if isinstance(progress, MapNode) else None
    return value if type(value) is int else 0

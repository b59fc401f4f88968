"""A run, where a command looks at checkpoints: its newest, or all of them, as is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ckptkit.cli.safe_text import safe
from ckptkit.types import DEFAULT_LIMITS, MANIFEST_NAME, Limits

if TYPE_CHECKING:
    from ckptkit.training.subject import Subject


def checkpoint_at(word: str, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return the checkpoint that a word means, as for ``resume``; of a run it is the newest.

    What is a checkpoint itself stays what it is, whatever else lies in it. Headers alone are read.
    Raises: NoCheckpointError for a run without any.
    """
    run = _run_at(word, limits)
    if run is None:
        return word
    from ckptkit.training.subject import find_newest

    newest, skipped = find_newest(run)
    for one in skipped:
        _say(f"skipped {one.path.name}: {one.reason}")
    _say(f"the newest checkpoint of {run.path} is {newest.name}")
    return str(newest)


def checkpoints_at(word: str, limits: Limits = DEFAULT_LIMITS) -> list[str]:
    """Return all checkpoints that a word means: of a run every one, whatever is wrong with it.

    Second names come last. Raises: NoCheckpointError for a run without any.
    """
    run = _run_at(word, limits)
    if run is None or run.experiment is None:
        return [word]
    from ckptkit.cli.list import natural
    from ckptkit.run.choose import candidates
    from ckptkit.run.names import SECOND_NAMES
    from ckptkit.training.subject import find_newest

    found = candidates(run.experiment.checkpoints) or [find_newest(run)[0]]  # which says why none
    found.sort(key=lambda path: (path.name in SECOND_NAMES, natural(path.name)))
    _say(f"every checkpoint of {run.path} is read: {len(found)}")
    return [str(path) for path in found]


def _run_at(word: str, limits: Limits) -> Subject | None:
    """The run that a word means; None for a checkpoint, and for what cannot be looked at."""
    try:
        if not _may_be_run(word):
            return None
        from ckptkit.training.subject import find_subject

        subject = find_subject(word)
        is_one = subject.is_checkpoint or _is_one(Path(word), limits)
    except (OSError, ValueError):
        return None  # who opens it says what is wrong
    return None if is_one else subject


def _may_be_run(word: str) -> bool:
    """Whether more is to be looked at: not where a file or a sealed folder was named."""
    path = Path(word)
    if os.path.lexists(path):
        return path.is_dir() and not os.path.lexists(path / MANIFEST_NAME)
    return word == _LATEST or (_RUNS / path).is_dir()


_LATEST, _RUNS = "latest", Path("runs")  # as for ``resume``, whose module reads more at its import


def _is_one(path: Path, limits: Limits) -> bool:
    """Whether a folder is a checkpoint, such as the output of a Trainer, with runs in it."""
    from ckptkit.errors import CkptkitError, InputError
    from ckptkit.verbs.open import open_container

    try:
        open_container(path, limits).close()
    except InputError:
        return False
    except CkptkitError:  # it is one, and broken
        return True
    return True


def _say(text: str) -> None:
    click.echo(f"ckptkit: {safe(text)}", err=True)

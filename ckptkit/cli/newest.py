"""A run, where a command looks at one checkpoint: its newest is taken, and said to be."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ckptkit.cli.safe_text import safe
from ckptkit.types import DEFAULT_LIMITS, MANIFEST_NAME, Limits


def checkpoint_at(word: str, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return the checkpoint that a word means, as for ``resume``; of a run it is the newest.

    What is a checkpoint itself stays what it is, whatever else lies in it. Headers alone are read:
    what is damaged is not passed over, for the commands that look at bytes are to find it.
    Raises: NoCheckpointError for a run without any.
    """
    try:
        if not _may_be_run(word):
            return word
        from ckptkit.training.subject import find_newest, find_subject

        subject = find_subject(word)
        if subject.is_checkpoint or _is_one(Path(word), limits):
            return word
        newest, skipped = find_newest(subject)
    except (OSError, ValueError):
        return word  # who opens it says what is wrong
    for one in skipped:
        _say(f"skipped {one.path.name}: {one.reason}")
    _say(f"the newest checkpoint of {subject.path} is {newest.name}")
    return str(newest)


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

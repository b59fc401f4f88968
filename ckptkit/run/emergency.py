"""What an exception means for a run: under which name to save, and what to tell. Pure."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ckptkit.run.names import ERROR, INTERRUPTED, oom_name

_OOM_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")
_BATCH_OPTIONS = ("--batch-size", "--batch_size", "--bs", "-b")


class Emergency(NamedTuple):
    """How to save what a run still has. ``kind``: "out of memory", "error" or "interrupted"."""

    kind: str
    name: str


def is_out_of_memory(error: BaseException | None) -> bool:
    """Say whether memory ran out: of an accelerator, or of the CPU; causes are looked at too."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            return True
        text = str(error).lower()
        if isinstance(error, RuntimeError) and any(words in text for words in _OOM_WORDS):
            return True
        error = error.__cause__
    return False


def classify(error: BaseException, epoch: int) -> Emergency:
    """Name the emergency checkpoint; ``epoch`` counts from 1 and is the one under way."""
    if is_out_of_memory(error):
        return Emergency("out of memory", oom_name(epoch))
    if not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit
        return Emergency("interrupted", INTERRUPTED)
    return Emergency("error", ERROR)


def smaller_batch_command(argv: Sequence[str], batch_size: int | None, checkpoint: str) -> str:
    """The command that goes on with half the batch, where the command line says how large it is.

    A command line without a batch size is given back with the checkpoint alone.
    """
    words = list(argv)
    smaller = None if batch_size is None else max(1, batch_size // 2)
    if words and _is_command(words[0]):
        size = [] if smaller is None else ["--batch-size", str(smaller)]
        return shlex.join(["ckptkit", "resume", checkpoint, *size])
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name not in _BATCH_OPTIONS:
            continue
        if equals and value.isdigit():
            words[place] = f"{name}={max(1, int(value) // 2)}"
            smaller = None
        elif place + 1 < len(words) and words[place + 1].isdigit():
            words[place + 1] = str(max(1, int(words[place + 1]) // 2))
            smaller = None
        break
    words = _without_resume(words)
    added = [] if smaller is None else ["--batch-size", str(smaller)]
    return shlex.join([_python(), *words, *added, "--resume", checkpoint])


def _without_resume(words: list[str]) -> list[str]:
    """Leave out ``--resume=X`` and ``--resume X``: another checkpoint is named in their place."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip and not word.startswith("-"):
            skip = False
            continue
        skip = word == "--resume"
        if not word.startswith("--resume"):
            kept.append(word)
    return kept


def _is_command(program: str) -> bool:
    """Whether the command ``ckptkit`` trains, and no script: it takes settings from checkpoints."""
    path = Path(program)
    return path.name == "ckptkit" or path.parts[-2:] in (
        ("ckptkit", "__main__.py"),
        ("cli", "main.py"),
    )


def _python() -> str:
    return "python" if not sys.executable else sys.executable.rpartition("/")[2]

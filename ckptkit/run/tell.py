"""What a run says to the person in front of it: on stderr, a line each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from ckptkit.run.settings import Change

Tell = Callable[[str], None]
GO_ON = "the same command with --resume auto goes on from there"


def to_stderr(text: str) -> None:
    """Say it, each line after our name; a stderr that is gone costs the words alone."""
    with suppress(OSError, ValueError, AttributeError):  # no reader, closed, or none at all
        for line in text.splitlines():
            sys.stderr.write(f"ckptkit: {line}".rstrip() + "\n")
        sys.stderr.flush()


def say_at_once(tell: Tell) -> Callable[[bytes], None] | None:
    """Return what writes to stderr in the middle of anything, a print included: no buffer is used.

    None where messages go elsewhere: what takes them may be what was interrupted. Who writes to
    stderr as well says so by an attribute ``writes_to_stderr``.
    """
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # there is none, or it is no file
        return None
    ours = tell is to_stderr or getattr(tell, "writes_to_stderr", False)
    return partial(_write, fd) if ours else None


def _write(fd: int, said: bytes) -> None:
    with suppress(OSError):  # a terminal that is gone
        os.write(fd, said)


def quiet(_text: str) -> None:
    """Say nothing."""


def ask_on_terminal() -> Callable[[str], bool] | None:
    """Return what asks a yes-or-no question; None where nobody could answer it."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return _asked


def _asked(question: str) -> bool:
    """Ask until it is answered; Ctrl+C leaves the script, for it is no answer."""
    while True:
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:  # the end of the input: nobody will answer any more
            sys.stderr.write("\n")
            return False
        word = line.strip().lower()
        if word in ("y", "yes", "n", "no", ""):
            return word.startswith("y")


def settings_table(changes: Iterable[Change]) -> str:
    """The settings that differ: asked, saved, used, in aligned columns."""
    rows = [("setting", "asked", "saved", "used")]
    rows += [(c.name, _short(c.asked), _short(c.saved), _short(c.used)) for c in changes]
    if len(rows) == 1:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _short(value: object) -> str:
    text = ascii(value) if not isinstance(value, str) else value
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 40 else text[:37] + "..."

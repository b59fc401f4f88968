"""A command on a terminal of its own: what is typed into it, and what it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from typing import Any

from tests.signals import hear_signals

PATIENCE_S = 60  # without a word


def on_terminal(
    words: Sequence[object],
    typed: Sequence[bytes] = (),
    *,
    when: bytes = b"[y/N]: ",
    columns: int = 0,
    **options: Any,
) -> tuple[int, str]:
    """Run a command; type the next of ``typed`` each time that ``when`` is shown.

    The terminal is the command's own, so that Ctrl+C (``b"\\x03"``) is a signal, and ``columns``
    wide (0: it does not say). ``options`` are those of ``subprocess.Popen``. Returns its exit code
    and all that it showed; where it says nothing for a minute, the terminal is hung up.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))

    def begin() -> None:
        hear_signals()
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **options}
    process = subprocess.Popen(
        [*map(str, words)], preexec_fn=begin, **streams,  # noqa: PLW1509  no threads here
    )  # fmt: skip
    # Their end stays open here until the command has ended: a reader that loses the processor
    # while the last writer leaves may be told of the end and not of the last words.
    shown, n_typed, heard_at = b"", 0, time.monotonic()
    while time.monotonic() - heard_at < PATIENCE_S:
        has_ended = process.poll() is not None
        if select.select([ours], [], [], 0 if has_ended else 0.02)[0]:
            shown += os.read(ours, 65536)
            heard_at = time.monotonic()
        elif has_ended:
            break
        while n_typed < min(len(typed), shown.count(when)):
            os.write(ours, typed[n_typed])
            n_typed += 1
    os.close(theirs)
    os.close(ours)
    return process.wait(PATIENCE_S), shown.decode().replace("\r\n", "\n")

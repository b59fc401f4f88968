"""Start a process that hears signals, whoever started the tests (nohup, a shell's ``&``)."""

from __future__ import annotations

import signal


def hear_signals() -> None:
    """For ``preexec_fn``: what the parent ignores, the child would ignore too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)

"""SIGTERM and SIGHUP end a command as Ctrl+C does: what it began is cleaned up first."""

from __future__ import annotations

import os
import signal

_PID = os.getpid()  # a process that is forked from ours has nothing to save
_BASE = 128  # the convention of shells: 128 + the number of the signal
_KINDS = {"SIGTERM": "Terminated", "SIGHUP": "HungUp"}


class TerminatedError(BaseException):
    """Somebody asked this process to end. Like KeyboardInterrupt it is no ``Exception``."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name, number)
        self.kind, self.exit_code = _KINDS[name], _BASE + number


def end_by_exception() -> None:
    """Let the signals raise TerminatedError in the main thread, which must be the caller.

    A signal that the parent made us ignore (``nohup``) stays ignored.
    """
    for name in _KINDS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _raise)


def _raise(number: int, _frame: object) -> None:
    if signal.getsignal(number) is not _raise and os.getpid() == _PID:
        return  # a training heard it first and told us: it finishes its step, saves and leaves
    for name in _KINDS:  # a second one must not break off the cleaning
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise TerminatedError(signal.Signals(number).name, number)

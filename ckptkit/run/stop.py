"""Why a run should stop, and who asked: signals are noted at once and acted upon at a save point.

SIGINT, SIGTERM, SIGHUP and SIGUSR1 are heard while the run is entered; handlers that were there
before are called as well, and put back afterwards. The first one is answered at once, for a step
may be long; a second SIGINT leaves at once. A SIGHUP that is ignored (``nohup``) stays ignored.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

HEARD = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
REQUEUE_EXIT_CODE = 85  # EX_TEMPFAIL + 10: what `--max-time` leaves with, for a scheduler to see


def _answer(name: str) -> bytes:
    other = "a second one" if name == "SIGINT" else "SIGINT"
    return f"ckptkit: {name}: the step is being finished; {other} leaves at once\n".encode()


_ANSWERS = {getattr(signal, name): _answer(name) for name in HEARD if hasattr(signal, name)}


class StopReason(NamedTuple):
    """Why to stop. ``exit_code`` is the conventional one: 128 + the signal's number."""

    word: str  # "SIGINT", "time limit", "asked"
    exit_code: int


class StopWatcher:
    """Notes the first reason to stop; ``reason`` is None until there is one."""

    def __init__(
        self, *, max_time_s: float | None = None, clock: Callable[[], float] = time.monotonic,
        say: Callable[[bytes], None] | None = None,
    ) -> None:  # fmt: skip
        """``say`` answers the first signal: it is called wherever the training is just then."""
        self._clock, self._began_s = clock, clock()
        self._max_time_s, self._say = max_time_s, say
        self._longest_s = 0.0  # between two save points: a step, an evaluation
        self._last_s = self._began_s
        self._reason: StopReason | None = None
        self.heard: StopReason | None = None  # the first signal, whatever the reason to stop is
        self._before: dict[int, Any] = {}
        self._pid = os.getpid()
        self.at_once = False  # a second interrupt asked not even to save
        self.saves_last = False  # a handler that was there before may raise: it is not called now

    @property
    def reason(self) -> StopReason | None:
        """The first reason that was noted."""
        return self._reason

    def ask(self, word: str = "asked", exit_code: int = 0) -> None:
        """Note a reason; a later one does not replace it."""
        if self._reason is None:
            self._reason = StopReason(word, exit_code)

    def save_point(self) -> StopReason | None:
        """Say whether to stop here; called at every save point.

        The time limit counts what the longest stretch between two save points took, so that the
        last step and its save end before the limit, not behind it.
        """
        now = self._clock()
        self._longest_s = max(self._longest_s, now - self._last_s)
        self._last_s = now
        limit = self._max_time_s
        if limit is not None and now - self._began_s + self._longest_s >= limit:
            self.ask("time limit", REQUEUE_EXIT_CODE)
        return self._reason

    # -- signals ----------------------------------------------------------------------------------

    def listen(self) -> None:
        """Hear signals from now on; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in HEARD:
            number = getattr(signal, name, None)
            if number is None or number in self._before:
                continue
            if name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._heard)

    def unlisten(self) -> None:
        """Put the handlers back that were there before."""
        while self._before:  # the last one first: SIGCHLD's, if it was silenced
            number, before = self._before.popitem()
            # None: a handler that C code installed; Python can neither call it nor put it back
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number)
        if os.getpid() != self._pid:
            _heard_in_child(number, frame, before)
            return
        first = self.heard is None
        again = number == signal.SIGINT and not first
        self.ask(signal.Signals(number).name, 128 + number)
        self.heard = self.heard or StopReason(signal.Signals(number).name, 128 + number)
        if first and self._say is not None:
            self._say(_ANSWERS[number])
        self._silence_workers()
        if again:
            self.at_once = True
            raise KeyboardInterrupt
        if self.saves_last:
            return
        if callable(before) and before is not signal.default_int_handler:
            before(number, frame)

    def _silence_workers(self) -> None:
        """Let the step under way be finished, though its loader's workers heard the signal too.

        Else torch raises that a worker has died, wherever the training is, be it inside a step.
        """
        handler = signal.getsignal(signal.SIGCHLD)
        if getattr(handler, "__module__", "") == _TORCH_HANDLERS:
            self._before.setdefault(signal.SIGCHLD, signal.signal(signal.SIGCHLD, _nothing))


def _nothing(*_: Any) -> None:
    """Not SIG_DFL: Python complains of a signal that was under way to a handler."""


_TORCH_HANDLERS = "torch.utils.data._utils.signal_handling"


def _heard_in_child(number: int, frame: FrameType | None, before: Any) -> None:
    """A process that was forked from ours: it ends as it would, but loader workers work on.

    Ctrl+C and SIGUSR1 reach all processes of a job; ours finishes its step and ends the others.
    """
    if callable(before) and before is not signal.default_int_handler:
        before(number, frame)
    elif number not in (signal.SIGINT, signal.SIGUSR1) and before != signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

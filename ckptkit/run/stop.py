"""Why a run should stop, and who asked: signals are noted at once and acted upon at a save point.

SIGINT, SIGTERM and SIGUSR1 are heard while the run is entered; handlers that were there before
are called as well, and put back afterwards. A second SIGINT leaves at once.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

HEARD = ("SIGINT", "SIGTERM", "SIGUSR1")
REQUEUE_EXIT_CODE = 85  # EX_TEMPFAIL + 10: what `--max-time` leaves with, for a scheduler to see


class StopReason(NamedTuple):
    """Why to stop. ``exit_code`` is the conventional one: 128 + the signal's number."""

    word: str  # "SIGINT", "time limit", "asked"
    exit_code: int


class StopWatcher:
    """Notes the first reason to stop; ``reason`` is None until there is one."""

    def __init__(
        self, *, max_time_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._began_s = clock, clock()
        self._max_time_s = max_time_s
        self._longest_s = 0.0  # between two save points: a step, an evaluation
        self._last_s = self._began_s
        self._reason: StopReason | None = None
        self._before: dict[int, Any] = {}
        self.at_once = False  # a second interrupt asked not even to save

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
            if number is not None and number not in self._before:
                self._before[number] = signal.signal(number, self._heard)

    def unlisten(self) -> None:
        """Put the handlers back that were there before."""
        while self._before:
            number, before = self._before.popitem()
            # None: a handler that C code installed; Python can neither call it nor put it back
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        again = self._reason is not None and number == signal.SIGINT
        self.ask(signal.Signals(number).name, 128 + number)
        before = self._before.get(number)
        if again:
            self.at_once = True
            raise KeyboardInterrupt
        if callable(before) and before is not signal.default_int_handler:
            before(number, frame)

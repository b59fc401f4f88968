"""Writing behind the training: one save in flight, its failure told at the next chance."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

WhenBusy = Literal["wait", "skip"]


class Background:
    """Runs one job at a time in a thread of its own.

    A failed job raises where the training looks next: at the next ``submit``, ``look`` or
    ``join``. The thread is no daemon, so leaving the process waits for it.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.waited_s = 0.0  # for a job that was still in flight

    @property
    def job(self) -> object:
        """The job in flight, to tell it from others."""
        return self._thread

    @property
    def busy(self) -> bool:
        """Whether a job is in flight."""
        return self._thread is not None and self._thread.is_alive()

    def submit(self, job: Callable[[], None]) -> None:
        """Start a job, after the one in flight. Raises: what that one raised."""
        self.join()

        begin = threading.Event()

        def run() -> None:
            begin.wait()  # gives the interpreter back: else the caller waits 5 ms for it
            try:
                job()
            except BaseException as exc:  # noqa: BLE001  the thread that trains raises it
                self._error = exc

        self._thread = threading.Thread(target=run, name="ckptkit-save")
        self._thread.start()
        begin.set()

    def look(self) -> None:
        """Raise what a finished job raised, if it did; never waits."""
        if not self.busy:
            self._raise()

    def join(self) -> None:
        """Wait for the job in flight. Raises: what it raised."""
        if self._thread is not None:
            began = time.monotonic()
            self._thread.join()
            self.waited_s += time.monotonic() - began
            self._thread = None
        self._raise()

    def settle(self) -> BaseException | None:
        """Wait for the job in flight; return what it raised instead of raising it."""
        try:
            self.join()
        except BaseException as exc:  # noqa: BLE001  whoever asks decides what to make of it
            return exc
        return None

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

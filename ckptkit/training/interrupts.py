"""Signals that come while a library is imported: one written in C may turn them into an error."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def signals_noted() -> Iterator[list[BaseException]]:
    """Note what the handlers of the signals that end a process raise within the block.

    The first signal puts the handlers back and is answered by its own, as without the block.
    """
    noted: list[BaseException] = []
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def put_back() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        put_back()
        try:
            before[number](number, frame)
        except BaseException as exc:
            noted.append(exc)
            raise

    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in _ENDING if hasattr(signal, name)):
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, note)
    try:
        yield noted
    finally:
        put_back()

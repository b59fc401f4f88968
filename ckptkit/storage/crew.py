"""Worker threads that share out a list of tasks: one buffer each, the first error stops all."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

Task = TypeVar("Task")

# Measured on a virtual disk, beside benchmarks/bench_write.py: 256 KiB to 1 MiB are equal, blocks
# of 2 MiB were 1.4 times slower, without early write-back all were 1.5 times slower.
BLOCK_NBYTES = 1 << 20
TICK_S = 0.05  # at most 20 calls of ``progress`` a second


class _StoppedError(Exception):
    """Unwinds a worker whose crew has failed elsewhere; never leaves this module."""


class Lane(Generic[Task]):
    """What one worker thread owns: its buffer and its count of bytes done."""

    def __init__(self, crew: _Crew[Task]) -> None:
        self.scratch = memoryview(bytearray(BLOCK_NBYTES))
        self.done_nbytes = 0
        self._crew = crew

    def advance(self, nbytes: int) -> None:
        """Count bytes as done; leaves by an exception when the crew was stopped."""
        self.done_nbytes += nbytes
        if self._crew.stopped:
            raise _StoppedError

    def run(self, work: Callable[[Task, Lane[Task]], None]) -> None:
        """Do tasks until there are none left."""
        while not self._crew.stopped and (task := self._crew.take()) is not None:
            work(task, self)


class _Crew(Generic[Task]):
    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks, self._lock = iter(tasks), threading.Lock()
        self.stopped = False

    def take(self) -> Task | None:
        """The next task that nobody has; None when there is none left."""
        with self._lock:
            return next(self._tasks, None)


def share_out(
    tasks: Sequence[Task],
    work: Callable[[Task, Lane[Task]], None],
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Call ``work(task, lane)`` for every task, in order, on up to ``workers`` threads.

    ``progress`` gets byte increments, in the calling thread. The first error is raised here once
    every thread has ended; so are a Ctrl+C and whatever ``progress`` raises.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    crew = _Crew(tasks)
    lanes = [Lane(crew) for _ in range(max(1, min(workers, len(tasks))))]
    tell = _Teller(lanes, progress)
    with _collector_paused(), ThreadPoolExecutor(len(lanes), "ckptkit") as pool:
        try:
            pending = {pool.submit(lane.run, work) for lane in lanes}
            while pending:
                done, pending = wait(pending, TICK_S, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                tell()
        finally:
            crew.stopped = True


class _Teller:
    """Adds the lanes up and reports what is new."""

    def __init__(self, lanes: Sequence[Lane[Task]], progress: Callable[[int], None] | None) -> None:
        self._lanes, self._progress, self._told = lanes, progress, 0

    def __call__(self) -> None:
        if self._progress is None:
            return
        done = sum(lane.done_nbytes for lane in self._lanes)
        if done > self._told:
            self._progress(done - self._told)
            self._told = done


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Half of the time of 100,000 small tensors is the cyclic collector looking at them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

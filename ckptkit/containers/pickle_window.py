"""Pickles at the front of a large file: read without holding what lies behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.trace import Tracer
from ckptkit.errors import ContainerError, LimitExceededError, TruncatedFileError
from ckptkit.nodes import Node
from ckptkit.protocols import StreamScan
from ckptkit.types import Limits

_FIRST_WINDOW_NBYTES = 64 << 10  # read ahead: nothing says where a pickle ends but itself
_GROWTH = 16  # the pickle of 100,000 tensors, 12 MB, fits into the third window

Resolver = Callable[[Node], Node]


class Attempt(NamedTuple):
    """How the reading of one pickle went: its value, unless ``scan.error`` says why not.

    ``embedded`` are the byte strings in it that look like pickles: (offset, bytes).
    """

    value: Node
    scan: StreamScan
    embedded: tuple[tuple[int, bytes], ...] = ()

    def result(self) -> Node:
        """The value. Raises: ContainerError where there is none."""
        if self.scan.error is not None:
            raise self.scan.error
        return self.value


class PickleWindow:
    """Reads one pickle after the other from a file of which only the front is in memory.

    ``position`` is where the next pickle, or what follows the last one, begins.
    """

    def __init__(self, file: FileBytes, limits: Limits, position: int = 0) -> None:
        self.file, self.limits, self.position = file, limits, position
        self._start, self._data = position, b""

    def read(self, stream: str, persistent: Resolver | None = None) -> Attempt:
        """Read the next pickle; ``position`` moves behind it, or stays if it is broken.

        An attempt that runs out of bytes is made again with more of them: it does the same
        things up to that point, so ``persistent`` may keep what it has.
        """
        wanted = max(_FIRST_WINDOW_NBYTES, len(self._data))
        while True:
            self._hold(wanted)
            attempt, stop = self._attempt(stream, persistent)
            if not isinstance(attempt.scan.error, TruncatedFileError) or self._is_whole():
                self.position = self._start + stop if attempt.scan.error is None else self.position
                return attempt
            if wanted >= self.limits.max_pickle_nbytes:
                return attempt._replace(scan=attempt.scan._replace(error=self._too_long()))
            wanted = min(wanted * _GROWTH, self.limits.max_pickle_nbytes)

    def peek(self, nbytes: int) -> bytes:
        """The bytes that come next, fewer at the end of the file."""
        return self.file.read(self.position, min(nbytes, self.file.nbytes - self.position))

    def _attempt(self, stream: str, persistent: Resolver | None) -> tuple[Attempt, int]:
        tracer = Tracer(stream)
        value, error, stop = None, None, 0
        try:
            value, stop = read_pickle(
                self._data, stream=stream, tracer=tracer, limits=self.limits,
                persistent=persistent, start=self.position - self._start,
                nodes_for=self.file.nbytes,
            )  # fmt: skip
        except ContainerError as exc:
            error = exc
        return Attempt(value, tracer.scan(error), tuple(tracer.embedded)), stop

    def _hold(self, nbytes: int) -> None:
        """Have ``nbytes`` from ``position`` on in memory, or all that there are."""
        held = self._start + len(self._data) - self.position
        if held >= min(nbytes, self.file.nbytes - self.position):
            return
        self._data = b""  # never hold both
        self._start = self.position
        self._data = self.peek(nbytes)

    def _is_whole(self) -> bool:
        return self._start + len(self._data) >= self.file.nbytes

    def _too_long(self) -> LimitExceededError:
        return LimitExceededError(
            self.file.where, "a pickle does not end within the limit",
            f"at most {self.limits.max_pickle_nbytes} bytes", "raise --limit max_pickle_nbytes=N",
        )  # fmt: skip

"""The numbers inside a tensor: the one reading verb that touches tensor bytes.

numpy is used where it is installed. Without it everything works, more slowly: narrow types are
counted by their bit patterns (65,536 at most), wide ones through ``array``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ckptkit.containers.logical import logical_source
from ckptkit.nodes import TensorNode
from ckptkit.verbs.number_formats import Chunk, reader_of

N_BINS = 12
CHUNK_NBYTES = 4 << 20


class Statistics(NamedTuple):
    """What the elements are. Extremes, mean and deviation are those of the finite elements.

    ``histogram`` has N_BINS equal bins from ``low`` to ``high``. A complex element counts by its
    magnitude. Everything is 0 where no element is finite.
    """

    n_elements: int
    n_nan: int
    n_inf: int
    n_zero: int
    low: float
    high: float
    mean: float
    deviation: float
    histogram: tuple[int, ...]


def tensor_statistics(
    tensor: TensorNode, progress: Callable[[int], None] | None = None
) -> Statistics | None:
    """Read a tensor, chunk by chunk, and sum it up; None for raw bits, which are no numbers.

    ``progress`` is told of the bytes as they are read: twice the tensor's, for the histogram
    needs the extremes first. Raises: ContainerError.
    """
    read = reader_of(tensor.dtype)
    if read is None or tensor.numpy_dtype or tensor.storage.source is None:
        return None
    summary = _Summary()
    for chunk in _chunks(tensor, read, progress):
        summary.add(chunk)
    histogram = [0] * N_BINS
    if summary.n_finite:
        for chunk in _chunks(tensor, read, progress):
            for index, count in enumerate(chunk.bin_counts(summary.low, summary.high, N_BINS)):
                histogram[index] += count
    return summary.finish(tensor.numel, tuple(histogram))


def _chunks(
    tensor: TensorNode, read: Callable[[bytes], Chunk], progress: Callable[[int], None] | None
) -> Iterator[Chunk]:
    source = logical_source(tensor)
    size = max(CHUNK_NBYTES // tensor.dtype.nbytes, 1) * tensor.dtype.nbytes
    for start in range(0, source.nbytes, size):
        data = bytearray(min(size, source.nbytes - start))
        source.read_into(start, memoryview(data))
        yield read(bytes(data))
        if progress is not None:
            progress(len(data))


class _Summary:
    """Running figures; means and deviations of chunks are joined as Chan et al. (1983) do."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.n_finite = self.n_nan = self.n_inf = self.n_zero = 0
        self._mean = self._squares = 0.0

    def add(self, chunk: Chunk) -> None:
        self.n_nan += chunk.n_nan
        self.n_inf += chunk.n_inf
        self.n_zero += chunk.n_zero
        if not chunk.n_finite:
            return
        self.low, self.high = min(self.low, chunk.low), max(self.high, chunk.high)
        both = self.n_finite + chunk.n_finite
        delta = chunk.mean - self._mean
        self._mean += delta * chunk.n_finite / both
        self._squares += chunk.squares + delta * delta * self.n_finite * chunk.n_finite / both
        self.n_finite = both

    def finish(self, n_elements: int, histogram: tuple[int, ...]) -> Statistics:
        found = self.n_finite > 0
        deviation = math.sqrt(self._squares / self.n_finite) if found else 0.0
        return Statistics(
            n_elements, self.n_nan, self.n_inf, self.n_zero,
            self.low if found else 0.0, self.high if found else 0.0,
            self._mean, deviation, histogram,
        )  # fmt: skip

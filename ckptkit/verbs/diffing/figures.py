"""How far two tensors are apart: read in step, chunk by chunk, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ckptkit.containers.logical import logical_source
from ckptkit.nodes import TensorNode
from ckptkit.verbs.diffing.numbers import has_numpy, values_of
from ckptkit.verbs.diffing.values import Figures

CHUNK_NUMEL = 1 << 18  # 2 MiB of float64 a side, and about six such arrays at a time
_TOO_LARGE, _TOO_SMALL = 1e100, 1e-100  # squares beyond these leave the range of a float


class Tolerance(NamedTuple):
    """What is close enough: ``|a - b| <= atol + rtol * |b|``."""

    rtol: float = 0.0
    atol: float = 0.0


class _Chunk(NamedTuple):
    """Figures of some elements. The sums are of values divided by ``scale``."""

    n_different: int
    max_abs: float
    n_nan: tuple[int, int]
    n_inf: tuple[int, int]
    is_close: bool
    scale: float
    sums: tuple[float, float, float, float]  # a*a, b*b, a*b, (b-a)**2


def compare_values(
    one: TensorNode,
    other: TensorNode,
    tolerance: Tolerance = Tolerance(),  # noqa: B008 - a frozen value
    progress: Callable[[int], None] | None = None,
) -> Figures | None:
    """Read two tensors of one shape and measure their difference; None for what is no number.

    Units: ``progress`` gets bytes of both. Raises: ContainerError.
    """
    read_one, read_other = _reader(one), _reader(other)
    if read_one is None or read_other is None or _parts(one) != _parts(other):
        return None
    sources = logical_source(one), logical_source(other)
    totals = _Totals()
    numel = one.numel
    measure = _measure_arrays if has_numpy() else _measure_lists
    for start in range(0, numel, CHUNK_NUMEL):
        count = min(CHUNK_NUMEL, numel - start)
        chunks = []
        for source, node, read in zip(sources, (one, other), (read_one, read_other), strict=True):
            data = bytearray(count * node.dtype.nbytes)
            source.read_into(start * node.dtype.nbytes, memoryview(data))
            chunks.append(read(bytes(data)))
        totals.add(measure(chunks[0], chunks[1], tolerance))
        if progress is not None:
            progress(count * (one.dtype.nbytes + other.dtype.nbytes))
    return totals.finish(numel * _parts(one))


def _reader(node: TensorNode) -> Callable[[bytes], Any] | None:
    if node.numpy_dtype or node.storage.source is None:
        return None
    return values_of(node.dtype)


def _parts(node: TensorNode) -> int:
    return 2 if node.dtype.kind == "c" else 1


class _Totals:
    """The running figures of all chunks."""

    def __init__(self) -> None:
        self.n_different, self.max_abs, self.is_close = 0, 0.0, True
        self.n_nan, self.n_inf = (0, 0), (0, 0)
        self._scale, self._sums = 1.0, [0.0] * 4

    def add(self, chunk: _Chunk) -> None:
        self.n_different += chunk.n_different
        self.max_abs = max(self.max_abs, chunk.max_abs)
        self.is_close = self.is_close and chunk.is_close
        self.n_nan = (self.n_nan[0] + chunk.n_nan[0], self.n_nan[1] + chunk.n_nan[1])
        self.n_inf = (self.n_inf[0] + chunk.n_inf[0], self.n_inf[1] + chunk.n_inf[1])
        if not any(chunk.sums):
            return
        if not any(self._sums):
            self._scale = chunk.scale
        scale = max(self._scale, chunk.scale)
        old, new = (self._scale / scale) ** 2, (chunk.scale / scale) ** 2
        self._sums = [a * old + b * new for a, b in zip(self._sums, chunk.sums, strict=True)]
        self._scale = scale

    def finish(self, n_elements: int) -> Figures:
        aa, bb, ab, dd = self._sums
        relative = math.sqrt(dd / aa) if aa else (math.inf if dd else 0.0)
        norms = math.sqrt(aa) * math.sqrt(bb)
        cosine = max(-1.0, min(1.0, ab / norms)) if norms else None
        return Figures(
            n_elements, self.n_different, self.max_abs, relative, cosine,
            self.n_nan, self.n_inf, self.is_close,
        )  # fmt: skip


def _scale_for(largest: float) -> float:
    """A power of two to divide by, so that no square leaves the range of a float."""
    if largest == 0 or _TOO_SMALL < largest < _TOO_LARGE:
        return 1.0
    return 2.0 ** min(math.frexp(largest)[1], 1023)


def _measure_lists(a: Sequence[float], b: Sequence[float], tolerance: Tolerance) -> _Chunk:
    finite = [(x, y) for x, y in zip(a, b, strict=True) if math.isfinite(x) and math.isfinite(y)]
    odd = [(x, y) for x, y in zip(a, b, strict=True) if not (math.isfinite(x) and math.isfinite(y))]
    unequal_odd = sum(not (x == y or (math.isnan(x) and math.isnan(y))) for x, y in odd)
    gaps = [(abs(y - x), abs(y)) for x, y in finite if x != y]
    scale = _scale_for(max((max(abs(x), abs(y)) for x, y in finite), default=0.0))
    pairs = [(x / scale, y / scale) for x, y in finite]
    return _Chunk(
        len(gaps) + unequal_odd,
        float(max((gap for gap, _ in gaps), default=0.0)),
        (sum(map(math.isnan, a)), sum(map(math.isnan, b))),
        (sum(map(math.isinf, a)), sum(map(math.isinf, b))),
        not unequal_odd and all(gap <= tolerance.atol + tolerance.rtol * y for gap, y in gaps),
        scale,
        (
            math.fsum(x * x for x, _ in pairs), math.fsum(y * y for _, y in pairs),
            math.fsum(x * y for x, y in pairs), math.fsum((y - x) ** 2 for x, y in pairs),
        ),
    )  # fmt: skip


def _measure_arrays(a: Any, b: Any, tolerance: Tolerance) -> _Chunk:
    import numpy as np

    exact = None
    if a.dtype == b.dtype and a.dtype.kind in "iu":
        exact = _integer_gap(a, b)
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        aa, bb = float(a @ a), float(b @ b)
        if not (aa + bb < _TOO_LARGE and _is_telling(aa, a) and _is_telling(bb, b)):
            return _measure_odd(a, b, tolerance, exact)
        # The common case in few passes: all are finite, and no square leaves the range.
        delta = b - a
        sums = (aa, bb, float(a @ b), float(delta @ delta))
        n_different = int(np.count_nonzero(delta))
        gaps = np.abs(delta, out=delta)
        largest, is_close = float(gaps.max(initial=0)), _all_close(gaps, b, tolerance)
    if exact is not None:
        n_different, largest = exact
    return _Chunk(n_different, largest, (0, 0), (0, 0), is_close, 1.0, sums)


def _is_telling(square: float, values: Any) -> bool:
    """Whether no square was lost because it is too small for a float."""
    return square > _TOO_SMALL or not values.any()


def _integer_gap(a: Any, b: Any) -> tuple[int, float]:
    """How many integers differ, and the largest difference, which no float has to hold."""
    import numpy as np

    gap = np.where(a > b, a, b).astype(np.uint64) - np.where(a > b, b, a).astype(np.uint64)
    return int(np.count_nonzero(gap)), float(gap.max(initial=0))


def _all_close(gaps: Any, b: Any, tolerance: Tolerance) -> bool:
    if tolerance.rtol == 0:
        return bool(gaps.max(initial=0) <= tolerance.atol)
    return bool((gaps <= tolerance.atol + tolerance.rtol * abs(b)).all())


def _measure_odd(a: Any, b: Any, tolerance: Tolerance, exact: tuple[int, float] | None) -> _Chunk:
    """The same for NaN and infinities, and for numbers whose squares leave the range."""
    import numpy as np

    n_nan = int(np.isnan(a).sum()), int(np.isnan(b).sum())
    n_inf = int(np.isinf(a).sum()), int(np.isinf(b).sum())
    differs = (a != b) & ~(np.isnan(a) & np.isnan(b))
    finite = np.isfinite(a) & np.isfinite(b)
    n_different, n_odd = int(differs.sum()), int(differs[~finite].sum())
    a, b = a[finite], b[finite]
    gaps = np.abs(b - a)
    largest, is_close = float(gaps.max(initial=0)), not n_odd and _all_close(gaps, b, tolerance)
    scale = _scale_for(max(float(np.abs(x).max(initial=0)) for x in (a, b)))
    a, b = a / scale, b / scale
    delta = b - a
    sums = (float(a @ a), float(b @ b), float(a @ b), float(delta @ delta))
    if exact is not None:
        n_different, largest = exact
    return _Chunk(n_different, largest, n_nan, n_inf, is_close, scale, sums)

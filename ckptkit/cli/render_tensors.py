"""The tensors of a checkpoint as a table, alike names in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ckptkit.cli.human import count_text, number_text, size_text, sparkline
from ckptkit.cli.inspect_view import TensorRow
from ckptkit.cli.safe_text import safe, shortened
from ckptkit.cli.screen import joined, table, text
from ckptkit.report.collapse import Group, collapse

_NUMBERS = ("count", "bytes", "min", "max", "mean", "std")
_FEW = 40  # so many names are read faster than their pattern
# A structured numpy dtype and a shape of 64 axes would widen the table; --json has them whole.
_MAX_DTYPE_CHARS = 24
_MAX_SHAPE_CHARS = 40


def render_tensors(rows: Sequence[TensorRow], *, every: bool, stats: bool) -> Iterator[Any]:
    """Yield the table, one line a group, and the count."""
    nbytes = sum(row.place.tensor.nbytes for row in rows if not row.tied_to)
    headings = ["tensor", "count", "dtype", "shape", "bytes", "notes"]
    if stats:  # figures are of one tensor, so there is no count; the bytes are told in the sum
        headings = [
            "tensor", "dtype", "shape", "min", "max", "mean", "std", "histogram", "notes",
        ]  # fmt: skip
    groups = _groups(rows, every=every or stats)
    if rows:
        cells = [_cells(rows[group.members[0]], group, stats=stats) for group in groups]
        yield table(headings, cells, numbers=_NUMBERS, optional=("histogram",))
        yield ""
    shown = f", shown in {count_text(len(groups), 'line')}" if len(groups) < len(rows) else ""
    yield text(f"  {count_text(len(rows), 'tensor')}, {size_text(nbytes)}{shown}")


def _groups(rows: Sequence[TensorRow], *, every: bool) -> list[Group]:
    names = [f"{row.section}/{row.name}" for row in rows]
    if every or len(rows) <= _FEW:
        return [Group(name, (position,)) for position, name in enumerate(names)]
    return collapse(names, [_kind(row) for row in rows])


def _kind(row: TensorRow) -> tuple[object, ...]:
    tensor = row.place.tensor
    return (tensor.dtype.name, tensor.numpy_dtype, tensor.shape, tensor.flavour, bool(row.tied_to))


def _cells(row: TensorRow, group: Group, *, stats: bool) -> list[Any]:
    tensor = row.place.tensor
    shape = "x".join(map(str, tensor.shape)) if tensor.shape else "scalar"
    shape = shortened(shape, _MAX_SHAPE_CHARS)
    dtype = shortened(safe(tensor.numpy_dtype or tensor.dtype.name), _MAX_DTYPE_CHARS)
    notes = _notes(row, group, stats=stats)
    if stats:
        return [group.pattern, dtype, shape, *_figures(row.figures), notes]
    count = f"{group.size:,}" if group.size > 1 else ""
    return [group.pattern, count, dtype, shape, size_text(tensor.nbytes * group.size), notes]


def _figures(figures: Any) -> list[str]:
    if figures is None:
        return ["", "", "", "", ""]
    if not sum(figures.histogram):  # no element, or none that is finite
        return ["-", "-", "-", "-", ""]
    return [
        number_text(figures.low), number_text(figures.high), number_text(figures.mean),
        number_text(figures.deviation), sparkline(figures.histogram),
    ]  # fmt: skip


def _notes(row: TensorRow, group: Group, *, stats: bool) -> Any:
    tensor = row.place.tensor
    notes = []
    if stats and row.figures is not None:
        figures: Any = row.figures
        if figures.n_nan:
            notes.append(text((f"{figures.n_nan:,} NaN", "bold red")))
        if figures.n_inf:
            notes.append(text((f"{figures.n_inf:,} Inf", "bold red")))
        if figures.n_zero:
            notes.append(text(f"{figures.n_zero / figures.n_elements:.1%} zero"))
        if tensor.dtype.kind == "c":
            notes.append(text("of magnitude"))
    if row.tied_to:
        notes.append(text(f"tied to {row.tied_to}" if group.size == 1 else "tied"))
    if tensor.flavour != "tensor":
        notes.append(text(tensor.flavour))
    if tensor.conj or tensor.neg:
        notes.append(text("lazy bits"))
    return joined(notes)

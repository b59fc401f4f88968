"""A run as a notebook shows it: HTML that takes its colours from the page, dark or light."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ckptkit.run.columns import as_float

if TYPE_CHECKING:
    from ckptkit.run.choose import Found
    from ckptkit.run.view import RunView

_MAX_ROWS, _MAX_CHECKPOINTS, _MAX_SETTINGS, _MAX_METRICS = 12, 12, 200, 40
_SPARK = (120, 22)  # of a small curve, in pixels
_MAX_POINTS = 240  # of it: two for each pixel column
_MAX_TEXT, _MAX_NAME = 200, 40
_STYLE = """<style scoped>
.ckptkit-run table{border-collapse:collapse;margin:.3em 0 .8em;font-size:.92em}
.ckptkit-run th,.ckptkit-run td{padding:.15em .8em .15em 0;text-align:right;border:0;
white-space:nowrap;background:none}
.ckptkit-run th{font-weight:600;opacity:.65;border-bottom:1px solid rgba(128,128,128,.5)}
.ckptkit-run table .t{text-align:left !important}
.ckptkit-run table .d{white-space:normal}
.ckptkit-run .b td{font-weight:700}
.ckptkit-run .n{opacity:.65;font-size:.92em;margin:0 0 .8em}
.ckptkit-run summary{cursor:pointer;margin:.2em 0}
.ckptkit-run h4{margin:.2em 0 .4em}
</style>"""


def page(view: RunView) -> str:
    """Everything about a run that fits a cell; what is long is folded away."""
    parts = [
        f"<h4>{_safe(view.name)}</h4>",
        _summary(view),
        _metrics(view),
        _folded("Last rows of the history", _rows(view), opened=False),
        _folded(_counted(len(view.checkpoints), "checkpoint"), _checkpoints(view), opened=False),
        _folded("Settings", _settings(view), opened=False),
        _folded("What happened", _events(view), opened=False),
        _folded("What to know", _notes(view), opened=True),
    ]
    return f'<div class="ckptkit-run">{_STYLE}{"".join(parts)}</div>'


def _summary(view: RunView) -> str:
    last = view.checkpoints[0] if view.checkpoints else None
    told = [where_it_stands(last) if last else "no checkpoint"]
    best = view.best
    if best is not None:
        where = f" at epoch {best.epoch:,}" if best.epoch else ""
        told.append(f"best {_safe(best.name)} <b>{best.value:.5g}</b>{where}")
    n_resumes = sum(event.kind == "resumed" for event in view.events)
    if n_resumes:
        told.append(f"resumed {n_resumes} times" if n_resumes > 1 else "resumed once")
    return f"<div>{' &middot; '.join(told)}</div>"


def where_it_stands(last: Found) -> str:
    """How far the newest checkpoint is; formats that count no steps say none."""
    return f"epoch {last.epochs:,}" + (f", step {last.steps:,}" if last.steps else "")


def _metrics(view: RunView) -> str:
    """One line for each metric: its curve, where it began, its extremes, where it is."""
    rows = []
    for name, column in view.history.items():
        values = [as_float(value) for value in column if value is not None]
        if name in ("epoch", "step") or not any(type(value) in (int, float) for value in column):
            continue
        watched = view.best is not None and view.best.name == name
        finite = [value for value in values if math.isfinite(value)] or [math.nan]
        told = (values[0], min(finite), max(finite), values[-1])  # NaN at the end is worth seeing
        rows.append((watched, [_short(name), _spark(values), *map(_cell, told)]))
    head = ("metric", "curve", "first", "lowest", "highest", "last")
    shown = _table(head, rows[:_MAX_METRICS], left=("metric", "curve"))
    more = len(rows) - _MAX_METRICS
    return shown + (f'<div class="n">and {_counted(more, "more metric")}</div>' if more > 0 else "")


def _spark(values: Sequence[float]) -> str:
    """A small curve, as a drawing inside the page; a gap stays open."""
    width, height = _SPARK
    every = max(1, -(-len(values) // _MAX_POINTS))
    values = [*values[::every]] + ([values[-1]] if (len(values) - 1) % every else [])
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    paths: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if not math.isfinite(value):
            paths.append([])
            continue
        x = 2 + (width - 4) * number / max(len(values) - 1, 1)
        share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
        paths[-1].append(f"{x:.1f},{2 + (height - 4) * (1 - share):.1f}")
    lines = "".join(
        f'<polyline points="{" ".join(points)}"/>' if len(points) > 1 else _dot(points[0])
        for points in paths if points
    )  # fmt: skip
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" fill="none" '
        'stroke="#3B8FC4" stroke-width="1.5" stroke-linecap="round" role="img">'
        f"{lines}</svg>"
    )


def _dot(point: str) -> str:
    """A point between two gaps: a line without length may not be seen."""
    x, y = point.split(",")
    return f'<circle cx="{x}" cy="{y}" r="1" fill="#3B8FC4"/>'


def _rows(view: RunView) -> str:
    names = [name for name, column in view.history.items() if name != "step" or any(column)]
    rows = list(zip(*(view.history[name] for name in names), strict=True))
    best = view.best
    told = []
    for row in rows[-_MAX_ROWS:]:
        place = dict(zip(names, row, strict=True))
        is_best = best is not None and bool(best.epoch) and place.get("epoch") == best.epoch
        told.append((is_best, [_cell(value) for value in row]))
    return _table([_short(name) for name in names], told) if told else ""


def _checkpoints(view: RunView) -> str:
    rows = [
        (False, [_safe(one.path.name), f"{one.epochs:,}", f"{one.steps:,}", _when(one.created)])
        for one in view.checkpoints[:_MAX_CHECKPOINTS]
    ]
    more = len(view.checkpoints) - _MAX_CHECKPOINTS
    shown = _table(("name", "epoch", "step", "saved"), rows, left=("name", "saved"))
    return (
        ""
        if not rows
        else shown + (f'<div class="n">and {_counted(more, "older one")}</div>' if more > 0 else "")
    )


def _settings(view: RunView) -> str:
    pairs = list(view.config.items())[:_MAX_SETTINGS]
    rows = [(False, [_safe(name), _safe(value)]) for name, value in pairs]
    head = ("setting", "value")
    return _table(head, rows, left=head, wrapped=("value",)) if rows else ""


def _events(view: RunView) -> str:
    rows = [
        (False, [_safe(one.kind), f"{one.epoch:,}", f"{one.step:,}", _safe(one.detail)])
        for one in view.events
        if one.kind != "best"
    ]
    head = ("what", "epoch", "step", "detail")
    return _table(head, rows, left=("what", "detail"), wrapped=("detail",)) if rows else ""


def _notes(view: RunView) -> str:
    told = [f"{one.path.name}: {one.reason}" for one in view.skipped] + view.notes
    return "<ul>" + "".join(f"<li>{_safe(one)}</li>" for one in told) + "</ul>" if told else ""


def _folded(title: str, content: str, *, opened: bool) -> str:
    if not content:
        return ""
    state = " open" if opened else ""
    return f"<details{state}><summary>{title}</summary>{content}</details>"


def _table(
    head: Sequence[str], rows: Iterable[tuple[bool, Sequence[str]]],
    left: Sequence[str] = (), wrapped: Sequence[str] = (),
) -> str:  # fmt: skip
    """Cells are HTML already; a row may be marked, a column may be folded to the page's width."""
    kinds = {name: "t d" if name in wrapped else "t" for name in left}
    sides = [f' class="{kinds[name]}"' if name in kinds else "" for name in head]
    top = "".join(f"<th{side}>{name}</th>" for name, side in zip(head, sides, strict=True))
    body = "".join(
        f"<tr{' class=b' if marked else ''}>"
        + "".join(f"<td{side}>{cell}</td>" for cell, side in zip(cells, sides, strict=True))
        + "</tr>"
        for marked, cells in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else _safe(value)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _when(created: str) -> str:
    """A moment as a person writes it."""
    return _safe(created.replace("T", " ", 1).replace("+00:00", " UTC"))


def _short(name: str) -> str:
    """A name that leaves room for the others; the whole of it is shown to who points at it."""
    if len(name) <= _MAX_NAME:
        return _safe(name)
    half = _MAX_NAME // 2
    return f'<span title="{_safe(name)}">{html.escape(f"{name[: half - 1]}…{name[-half:]}")}</span>'


def _safe(value: object) -> str:
    text = str(value)
    return html.escape(text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…")

"""Training curves drawn in a terminal: one chart a panel, with axes, marks and a legend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.text import Text

from ckptkit.cli.canvas import Canvas, Pen
from ckptkit.cli.columns import width_of
from ckptkit.cli.safe_text import safe, shortened
from ckptkit.cli.screen import text
from ckptkit.cli.ticks import labels, log_ticks, ticks
from ckptkit.run.curves import Curve, Mark, Panel, Picture, best_words

# The Okabe-Ito colours that read on dark and on light ground.
STYLES = ("#56B4E9", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#B0A000")
_LETTERS = "*o+x#@%&"  # where there are no colours
_MIN_WIDTH, _MAX_NAME = 24, 48
_INDENT = "  "


class Look(NamedTuple):
    """What the terminal can do. Units: ``width`` in cells, ``height`` in rows of one chart."""

    width: int
    height: int
    colours: bool
    unicode: bool


class _Box(NamedTuple):
    """The ranges of both axes."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is, each from 0 to 1."""
        low, high = self.y
        if self.log:
            y, low, high = math.log10(y), math.log10(low), math.log10(high)
        return (x - self.x[0]) / (self.x[1] - self.x[0]), _share(y, low, high)


def charts(picture: Picture, look: Look) -> Iterator[Any]:
    """Yield the lines of every panel, then what the marks mean."""
    for panel in picture.panels:
        yield from _chart(panel, picture, look)
        yield ""
    yield from _folded(_explained(picture, look), look)


def _chart(panel: Panel, picture: Picture, look: Look) -> Iterator[Text]:
    box = _box(panel, picture.marks)
    values = (log_ticks if panel.log else ticks)(*box.y, max(3, look.height // 2))
    words = labels(values, log=panel.log)
    gutter = max((len(word) for word in words), default=1)
    width = max(look.width - len(_INDENT) - gutter - 3, _MIN_WIDTH)
    pens = _pens(panel, picture, look)
    canvas = Canvas(width, look.height)
    for curve, pen in zip(panel.curves, pens, strict=True):
        _draw(canvas, curve, box, pen)
    for star in panel.stars:
        canvas.letter(box.place(star.x, star.y), _sign("best", look), "bold")
    for place, signs in _uprights(picture, box, canvas, look).items():
        canvas.upright(place, signs)
    yield from _heading(panel, picture, pens, look)
    yield from _framed(canvas, box, (values, words, gutter), look)
    yield from _x_axis(box, (width, gutter), picture.x, look)


def _draw(canvas: Canvas, curve: Curve, box: _Box, pen: Pen) -> None:
    """Join neighbours; a gap stays open, and a point between two gaps is a point."""
    points = [
        box.place(x, y) if math.isfinite(y) else None
        for x, y in zip(curve.xs, curve.ys, strict=True)
    ]
    for before, here in zip([None, *points], points, strict=False):
        if here is not None:
            canvas.line(before or here, here, pen)


def _uprights(
    picture: Picture, box: _Box, canvas: Canvas, look: Look
) -> dict[float, list[tuple[str, str]]]:
    """The signs of each place: a resume stands in the column where the interruption stood."""
    places: dict[int, float] = {}
    found: dict[float, list[tuple[str, str]]] = {}
    for mark in picture.marks:
        x = box.place(mark.x, box.y[0])[0]
        place = places.setdefault(canvas.cell((x, 0.0))[0], x)
        sign = (_sign(mark.kind, look), _style(mark, look))
        if sign not in found.setdefault(place, []):
            found[place].append(sign)
    return found


def _box(panel: Panel, marks: Sequence[Mark]) -> _Box:
    xs = [x for curve in panel.curves for x in curve.xs] + [mark.x for mark in marks]
    ys = [y for curve in panel.curves for y in curve.ys if math.isfinite(y)]
    ys += [star.y for star in panel.stars]
    x0, x1 = min(xs), max(xs)
    if x0 == x1:
        x0, x1 = x0 - 0.5, x1 + 0.5
    y0, y1 = min(ys), max(ys)
    if y0 == y1 and panel.log:
        y0, y1 = y0 / 2, y1 * 2
    elif y0 == y1:
        y0, y1 = y0 - (abs(y0) * 0.05 or 1.0), y1 + (abs(y1) * 0.05 or 1.0)
    return _Box((x0, x1), (y0, y1), panel.log)


def _share(y: float, low: float, high: float) -> float:
    """Where ``y`` is between two others, which may be as far apart as floats go."""
    share = (y / 2 - low / 2) / (high / 2 - low / 2)
    return share if math.isfinite(share) else 0.5


def _pens(panel: Panel, picture: Picture, look: Look) -> list[Pen]:
    """A colour each, by run where there are several; letters where colours cannot tell."""
    several = len(picture.runs) > 1
    dots = look.unicode and (look.colours or len(panel.curves) == 1)
    pens = []
    for number, curve in enumerate(panel.curves):
        at = curve.run if several else number
        letter = "" if dots else _LETTERS[at % len(_LETTERS)]
        pens.append(Pen(STYLES[at % len(STYLES)] if look.colours else "", letter))
    return pens


def _heading(panel: Panel, picture: Picture, pens: list[Pen], look: Look) -> Iterator[Text]:
    """The title and the names of the curves, on one line where both fit."""
    several = len(picture.runs) > 1
    room = look.width - len(_INDENT) - len(" (log)")
    named_so = shortened(safe(panel.title), room) + (" (log)" if panel.log else "")
    title = text((named_so, "bold"))
    named = []
    for curve, pen in zip(panel.curves, pens, strict=True):
        name = shortened(safe(picture.runs[curve.run] if several else curve.metric), _MAX_NAME)
        named.append(text((pen.letter or "━━", pen.style), f" {name}"))
    if len(named) == 1 and not several and panel.curves[0].metric == panel.title:
        named = []
    legend = Text("   ").join(named)
    room = look.width - len(_INDENT) - title.cell_len - legend.cell_len
    if room >= 3:
        yield Text.assemble(_INDENT, title, " " * (room - 1), legend)
        return
    yield Text.assemble(_INDENT, title)
    yield from _folded(named, look)


def _framed(
    canvas: Canvas, box: _Box, scale: tuple[list[float], list[str], int], look: Look
) -> Iterator[Text]:
    values, words, gutter = scale
    at = {}
    for value, word in zip(values, words, strict=True):
        at[canvas.cell(box.place(box.x[0], value))[1]] = word
    tick, bar = ("┤", "│") if look.unicode else ("+", "|")
    for row, cells in enumerate(canvas.rows()):
        word = at.get(row, "")
        edge = text((f"{word:>{gutter}} {tick if word else bar}", "dim"))
        yield Text.assemble(_INDENT, edge, *cells)


def _x_axis(box: _Box, size: tuple[int, int], name: str, look: Look) -> Iterator[Text]:
    width, gutter = size
    corner, dash, tick = ("└", "─", "┬") if look.unicode else ("+", "-", "+")
    low, high = box.x
    values = [one for one in ticks(low, high, max(2, width // 9)) if one == round(one)]
    values = values or [float(round(low))]
    axis, words = [dash] * width, [" "] * (width + gutter)
    free = 0  # the first cell that no label takes
    for value, word in zip(values, labels(values), strict=True):
        column = round((value - low) / (high - low) * (width - 1))
        start = min(max(column - len(word) // 2, 0), len(words) - len(word))
        start = min(start, width - len(word))
        if not 0 <= column < width or start < free or start < 0:
            continue
        axis[column] = tick
        words[start : start + len(word)] = word
        free = start + len(word) + 1
    left = _INDENT + " " * (gutter + 1)
    yield text((left + corner + "".join(axis), "dim"))
    yield text((left + " " + "".join(words).rstrip(), "dim"))
    yield text((left + " " + name.center(width).rstrip(), "dim"))


def _explained(picture: Picture, look: Look) -> list[Text]:
    """What the stars and the lines mean, with what is worth a number."""
    told = []
    seen: set[int] = set()
    for star in (star for panel in picture.panels for star in panel.stars):
        if star.run not in seen:
            seen.add(star.run)
            whose = f"{safe(picture.runs[star.run])}: " if len(picture.runs) > 1 else ""
            told.append(text((_sign("best", look), "bold"), f" {whose}{safe(best_words(star))}"))
    for kind in ("resumed", "interrupted", "emergency"):
        marks = [mark for mark in picture.marks if mark.kind == kind]
        if marks:
            words = f" {kind}{_whose(marks, picture)}"
            told.append(text((_sign(kind, look), _style(marks[0], look)), words))
    return told


def _whose(marks: list[Mark], picture: Picture) -> str:
    """How often, or why; of several runs, to which of them it happened."""
    if len(picture.runs) > 1:
        runs = dict.fromkeys(mark.run for mark in marks)
        counts = {run: sum(mark.run == run for mark in marks) for run in runs}
        times = {run: f" {n} times" if n > 1 else "" for run, n in counts.items()}
        told = ", ".join(safe(picture.runs[run]) + times[run] for run in runs)
        return f" ({shortened(told, _MAX_NAME)})"
    more = f"{len(marks)} times" if len(marks) > 1 else safe(marks[0].detail)
    return f" ({shortened(more, _MAX_NAME)})" if more else ""


def _sign(kind: str, look: Look) -> str:
    signs = {"best": "★B", "resumed": "┊:", "interrupted": "╎!", "emergency": "┃X"}
    return signs[kind][0 if look.unicode else 1]


def _style(mark: Mark, look: Look) -> str:
    if not look.colours:
        return ""
    return {"resumed": "dim", "interrupted": "#D55E00", "emergency": "bold red"}[mark.kind]


def _folded(items: list[Text], look: Look) -> Iterator[Text]:
    """Items side by side, as many as fit a line."""
    line = Text(_INDENT)
    for item in items:
        if line.cell_len > len(_INDENT) and line.cell_len + 3 + item.cell_len > look.width:
            yield line
            line = Text(_INDENT)
        if line.cell_len > len(_INDENT):
            line.append("   ")
        line.append(item)
    if width_of(line.plain) > len(_INDENT):
        yield line

"""What names the parts of a picture: titles, legends, and the signs of what happened to a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ckptkit.run.curves import Panel, Picture, best_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Distinct for every kind of colour blindness, and in grey. Source: Okabe and Ito, 2008.
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8C7A00",
)  # fmt: skip
# By run where there are several: a ninth run repeats a colour, but not with the same dashes.
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
# A line, and a sign on it at a height of its own: a resume stands where the interruption stood.
_MARKS: dict[str, tuple[Any, str, str, float]] = {
    "resumed": ("--", "#7A7A7A", ">", 0.97),
    "interrupted": (":", "#D55E00", "D", 0.91),
    "emergency": ("-", "#B00020", "X", 0.85),
}
_LETTER_INCHES, _BOLD_INCHES, _HANDLE_INCHES = 0.078, 0.11, 0.5  # of the fonts in plot.py
_LINE_POINTS = 14.0  # one line of a legend
_MAX_TITLE, _MAX_NAME = 44, 60


def mark_events(axes: Axes, picture: Picture) -> None:
    """An upright line for everything that happened, with a sign where it meets the top."""
    several = len(picture.runs) > 1
    for mark in picture.marks:
        dashes, own_colour, sign, height = _MARKS[mark.kind]
        colour = COLOURS[mark.run % len(COLOURS)] if several else own_colour
        axes.axvline(mark.x, linestyle=dashes, color=colour, linewidth=1, alpha=0.75, zorder=1.5)
        axes.plot(
            [mark.x], [height], transform=axes.get_xaxis_transform(), color=colour,
            linestyle="none", zorder=4, scalex=False, scaley=False, **_sign(sign),
        )  # fmt: skip


def _sign(marker: str) -> dict[str, Any]:
    """Signs look equally large: a square on its corner is larger than its size."""
    size = 5.5 if marker == "D" else 8
    return {
        "marker": marker, "markersize": size, "markeredgecolor": "white", "markeredgewidth": 0.5,
    }  # fmt: skip


def name_panel(axes: Axes, panel: Panel, inches: float, *, several: bool) -> None:
    """The title, and the curves beside it, or below it where both are too long for a line."""
    title = legible(panel.title, _MAX_TITLE) + (" (log)" if panel.log else "")
    names = [] if several or len(panel.curves) < 2 else [one.metric for one in panel.curves]
    widths = [_LETTER_INCHES * min(len(name), _MAX_NAME) + _HANDLE_INCHES for name in names]
    beside = len(title) * _BOLD_INCHES + sum(widths) <= inches
    n_columns = len(names) if beside else _fitting(widths, inches)
    n_lines = 0 if beside else math.ceil(len(names) / n_columns)
    axes.set_title(title, pad=6 + (4 + n_lines * _LINE_POINTS if n_lines else 0))
    if names:
        handles, labels = axes.get_legend_handles_labels()
        handles, labels = _by_rows(handles, n_columns), _by_rows(labels, n_columns)
        axes.legend(
            handles, labels, loc="lower right" if beside else "lower left",
            bbox_to_anchor=(1.0 if beside else 0.0, 1.0), ncols=n_columns,
            borderaxespad=0.2, handlelength=1.6, columnspacing=1.2,
        )  # fmt: skip


def name_figure(figure: Figure, picture: Picture, star_colour: str) -> None:
    """The title above, and below what the colours of runs and the marks mean."""
    runs = picture.runs
    figure.suptitle(legible(runs[0]) if len(runs) == 1 else f"{len(runs)} runs", fontsize=12)
    handles = [*_of_runs(runs), *_of_star(picture, star_colour), *_of_marks(picture)]
    if picture.smooth:
        handles.append(_line(color="#555555", alpha=0.35, label="as measured"))
    if handles:
        widths = [len(str(one.get_label())) * _LETTER_INCHES + _HANDLE_INCHES for one in handles]
        n_columns = _fitting(widths, figure.get_figwidth() - 0.4)
        figure.legend(
            handles=_by_rows(handles, n_columns), loc="outside lower center", ncols=n_columns
        )


def _of_runs(runs: Sequence[str]) -> list[Line2D]:
    return [
        _line(
            color=COLOURS[run % len(COLOURS)], label=legible(name),
            linestyle=DASHES[run // len(COLOURS) % len(DASHES)],
        )
        for run, name in enumerate(runs if len(runs) > 1 else ())
    ]  # fmt: skip


def _of_star(picture: Picture, colour: str) -> list[Line2D]:
    star = next((star for panel in picture.panels for star in panel.stars), None)
    if star is None:
        return []
    words = best_words(star) if len(picture.runs) == 1 else f"best {star.metric}"
    return [
        _line(color=colour, marker="*", markersize=11, markeredgecolor="black", linestyle="none",
              label=legible(words))
    ]  # fmt: skip


def _of_marks(picture: Picture) -> list[Line2D]:
    handles = []
    for kind, (dashes, own_colour, sign, _) in _MARKS.items():
        count = sum(mark.kind == kind for mark in picture.marks)
        if count:
            label = kind if count == 1 else f"{kind} ({count} times)"
            colour = own_colour if len(picture.runs) == 1 else "#555555"
            look = {"color": colour, "linestyle": dashes, "label": label}
            handles.append(_line(**look, **_sign(sign)))
    return handles


def _line(**look: Any) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], **look)


def _fitting(widths: Sequence[float], inches: float) -> int:
    """How many columns fit, filled line by line, each as wide as the widest in it."""
    for n_columns in range(len(widths), 1, -1):
        if sum(max(widths[column::n_columns]) for column in range(n_columns)) <= inches:
            return n_columns
    return 1


def _by_rows(items: Sequence[Any], n_columns: int) -> list[Any]:
    """Items so ordered that matplotlib, which fills columns, shows them line by line."""
    return [one for column in range(n_columns) for one in items[column::n_columns]]


def legible(name: str, longest: int = _MAX_NAME) -> str:
    """A name for a legend: matplotlib leaves out those that begin with an underscore."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    half = longest // 2
    shown = shown if len(shown) <= longest else f"{shown[: half - 1]}…{shown[-half:]}"
    shown = shown.replace("$", r"\$")  # two of them would begin a formula
    return f" {shown}" if shown.startswith("_") else shown

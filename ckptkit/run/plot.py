"""Training curves as a picture, drawn with matplotlib, which is imported only here."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckptkit.errors import MissingExtraError
from ckptkit.run.curves import Curve, Panel, Picture, Star, best_words
from ckptkit.storage.atomic import stage
from ckptkit.storage.writer import FileToWrite, write_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
# Distinct for every kind of colour blindness, and in grey. Source: Okabe and Ito, 2008.
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8C7A00",
)  # fmt: skip
# By run where there are several: a ninth run repeats a colour, but not with the same dashes.
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_MARKS: dict[str, tuple[Any, str]] = {
    "resumed": ("--", "#7A7A7A"),
    "interrupted": (":", "#D55E00"),
    "emergency": ("-", "#B00020"),
}
_PANEL_INCHES = (6.2, 3.3)
_HUGE = 1e150
_MAX_DOTS = 40  # curves of so few points show each of them
_STYLE = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#E4E4E4", "grid.linewidth": 0.7, "axes.axisbelow": True,
    "axes.edgecolor": "#888888", "xtick.color": "#444444", "ytick.color": "#444444",
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "legend.frameon": False, "legend.fontsize": 9, "svg.hashsalt": "ckptkit",
    "svg.fonttype": "none", "text.usetex": False,
    "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
}  # fmt: skip


def draw(picture: Picture) -> Figure:
    """Draw a picture; every panel has its legend above its axes, the marks are explained below.

    Raises: MissingExtraError without matplotlib.
    """
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    n_columns = 1 if len(picture.panels) == 1 else 2 if len(picture.panels) <= 8 else 3
    n_rows = math.ceil(len(picture.panels) / n_columns)
    with matplotlib.rc_context(_STYLE):
        width = _PANEL_INCHES[0] * n_columns * (1.25 if n_columns == 1 else 1)
        height = _PANEL_INCHES[1] * n_rows * (1.25 if n_columns == 1 else 1) + 0.7
        figure: Figure = _shown_in_notebooks(Figure)(figsize=(width, height), layout="constrained")
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        cells = [axes for row in grid for axes in row]
        for axes, panel in zip(cells, picture.panels, strict=False):
            _draw_panel(axes, panel, picture)
        for axes in cells[len(picture.panels) :]:
            axes.set_axis_off()
        _name_figure(figure, picture)
    return figure


def write_picture(path: Path, figure: Figure) -> int:
    """Put a figure at ``path`` whole or not at all, in the format of its suffix.

    The same picture gives the same bytes. Units: returns bytes. Raises: StorageError.
    """
    kind = path.suffix[1:].lower()
    with _matplotlib().rc_context(_STYLE):
        buffer = io.BytesIO()
        dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
        figure.savefig(buffer, format=kind, dpi=150, metadata=dated[kind])
    whole = buffer.getvalue()
    with stage(path, replace=True, needed_nbytes=len(whole), is_file=True) as staged:
        write_files(staged.path.parent, [FileToWrite(staged.path.name, whole, ())], workers=1)
        staged.commit()
    return len(whole)


def _matplotlib() -> Any:
    try:
        import matplotlib as mpl
    except ImportError as exc:
        raise MissingExtraError(
            "matplotlib", "is not installed", "the package that draws pictures",
            "pip install 'ckptkit[plot]'; without it ckptkit plot draws in the terminal",
        ) from exc  # fmt: skip
    return mpl


def _shown_in_notebooks(base: type[Figure]) -> type[Figure]:
    """A figure that a notebook shows although pyplot, with its global state, was never there."""

    class Shown(base):  # type: ignore[valid-type, misc]
        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()

    return Shown


def _draw_panel(axes: Axes, panel: Panel, picture: Picture) -> None:
    from matplotlib.ticker import MaxNLocator

    several = len(picture.runs) > 1
    for mark in picture.marks:
        dashes, own_colour = _MARKS[mark.kind]
        colour = COLOURS[mark.run % len(COLOURS)] if several else own_colour
        axes.axvline(mark.x, linestyle=dashes, color=colour, linewidth=1, alpha=0.75, zorder=1.5)
    for number, curve in enumerate(panel.curves):
        look = curve.run if several else number
        _draw_curve(axes, curve, look, smooth=picture.smooth)
    for star in panel.stars:
        axes.plot(
            [star.x], _drawable([star.y]), marker="*", markersize=12, markeredgecolor="black",
            color=_star_colour(panel, star, several=several), markeredgewidth=0.8,
            linestyle="none", zorder=5, clip_on=False,
        )  # fmt: skip
    title = _legible(panel.title)
    axes.set_title(title)
    axes.set_xlabel(picture.x)
    axes.set_ylabel(f"{title} (log)" if panel.log else title)
    if panel.log:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(
        MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    )
    xs = {x for curve in panel.curves for x in curve.xs} | {mark.x for mark in picture.marks}
    if len(xs) == 1:  # one epoch: an axis around it, not one of hundredths
        axes.set_xlim(min(xs) - 0.5, max(xs) + 0.5)
    if not several and len(panel.curves) > 1:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=min(len(panel.curves), 4),
            borderaxespad=0.2, handlelength=1.6, columnspacing=1.2,
        )  # fmt: skip


def _star_colour(panel: Panel, star: Star, *, several: bool) -> str:
    """The colour of the curve that it stands on."""
    at = next(i for i, one in enumerate(panel.curves) if one[:2] == (star.run, star.metric))
    return COLOURS[(star.run if several else at) % len(COLOURS)]


def _draw_curve(axes: Axes, curve: Curve, look: int, *, smooth: float) -> None:
    curve = curve._replace(ys=_drawable(curve.ys), raw=_drawable(curve.raw))
    colour = COLOURS[look % len(COLOURS)]
    dashes = _DASHES[look // len(COLOURS) % len(_DASHES)]
    if smooth:
        axes.plot(curve.xs, curve.raw, color=colour, linewidth=0.8, alpha=0.3)
    dots = "o" if len(curve.xs) <= _MAX_DOTS else ""
    axes.plot(
        curve.xs, curve.ys, color=colour, linestyle=dashes, linewidth=1.7, marker=dots,
        markersize=3.2, label=_legible(curve.metric),
    )  # fmt: skip
    lonely = _lonely(curve.ys)
    if lonely and not dots:  # a line needs two neighbours: a point between gaps would vanish
        axes.plot([curve.xs[i] for i in lonely], [curve.ys[i] for i in lonely], ".", color=colour)


def _drawable(ys: Sequence[float]) -> tuple[float, ...]:
    """Numbers whose differences are numbers: matplotlib overflows at the ends of the floats."""
    return tuple(max(-_HUGE, min(_HUGE, y)) if math.isfinite(y) else y for y in ys)


def _lonely(ys: Sequence[float]) -> list[int]:
    """Points with a gap, or the end, on both sides."""
    padded = (math.nan, *ys, math.nan)
    return [
        i
        for i, y in enumerate(ys)
        if math.isfinite(y) and math.isnan(padded[i]) and math.isnan(padded[i + 2])
    ]


def _name_figure(figure: Figure, picture: Picture) -> None:
    """The title above, and below what the colours of runs and the marks mean."""
    from matplotlib.lines import Line2D

    runs = picture.runs
    figure.suptitle(_legible(runs[0]) if len(runs) == 1 else f"{len(runs)} runs", fontsize=12)
    handles: list[Line2D] = []
    for run, name in enumerate(runs if len(runs) > 1 else ()):
        dashes = _DASHES[run // len(COLOURS) % len(_DASHES)]
        colour = COLOURS[run % len(COLOURS)]
        handles.append(Line2D([], [], color=colour, linestyle=dashes, label=_legible(name)))
    starred = [(panel, star) for panel in picture.panels for star in panel.stars]
    if starred:
        panel, star = starred[0]
        alone = len(runs) == 1
        colour = _star_colour(panel, star, several=False) if alone else "white"
        words = best_words(star) if alone else f"best {star.metric}"
        handles.append(
            Line2D([], [], color=colour, marker="*", markersize=11, markeredgecolor="black",
                   linestyle="none", label=_legible(words))
        )  # fmt: skip
    for kind, (mark_dashes, own_colour) in _MARKS.items():
        count = sum(mark.kind == kind for mark in picture.marks)
        if count:
            label = kind if count == 1 else f"{kind} ({count} times)"
            colour = own_colour if len(runs) == 1 else "#555555"
            handles.append(Line2D([], [], color=colour, linestyle=mark_dashes, label=label))
    if picture.smooth:
        handles.append(Line2D([], [], color="#555555", alpha=0.35, label="as measured"))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))


def _legible(name: str) -> str:
    """A name for a legend: matplotlib leaves out those that begin with an underscore."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    shown = shown if len(shown) <= 60 else f"{shown[:29]}…{shown[-30:]}"
    shown = shown.replace("$", r"\$")  # two of them would begin a formula
    return f" {shown}" if shown.startswith("_") else shown

"""Training curves as a picture, drawn with matplotlib, which is imported only here."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckptkit.errors import MissingExtraError
from ckptkit.run.curves import Curve, Panel, Picture, Star
from ckptkit.run.plot_axes import label_values, positive
from ckptkit.run.plot_legends import COLOURS, DASHES, legible, mark_events, name_figure, name_panel
from ckptkit.storage.atomic import stage
from ckptkit.storage.writer import FileToWrite, write_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
_PANEL_INCHES = (6.2, 3.3)
_MARGIN_INCHES = 0.8  # of a panel, left of its axes
# Where they are installed: matplotlib's own font has neither Han nor kana nor hangul.
_MORE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "Microsoft YaHei", "Malgun Gothic", "PingFang SC", "Hiragino Sans",
)  # fmt: skip
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
    """Draw a picture; legends stand outside the axes, the marks are explained below them.

    Raises: MissingExtraError without matplotlib.
    """
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    n_columns = 1 if len(picture.panels) == 1 else 2 if len(picture.panels) <= 8 else 3
    n_rows = math.ceil(len(picture.panels) / n_columns)
    with _styled(matplotlib):
        width = _PANEL_INCHES[0] * n_columns * (1.25 if n_columns == 1 else 1)
        height = _PANEL_INCHES[1] * n_rows * (1.25 if n_columns == 1 else 1) + 0.7
        figure: Figure = _shown_in_notebooks(Figure)(figsize=(width, height), layout="constrained")
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        cells = [axes for row in grid for axes in row]
        for axes, panel in zip(cells, picture.panels, strict=False):
            _draw_panel(axes, panel, picture, width / n_columns)
        for axes in cells[len(picture.panels) :]:
            axes.set_axis_off()
        name_figure(figure, picture, _first_star_colour(picture))
    return figure


def write_picture(path: Path, figure: Figure) -> int:
    """Put a figure at ``path`` whole or not at all, in the format of its suffix.

    The same picture gives the same bytes. Units: returns bytes. Raises: StorageError.
    """
    kind = path.suffix[1:].lower()
    with _styled(_matplotlib()):
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


@contextmanager
def _styled(matplotlib: Any) -> Iterator[None]:
    """Our style, with fonts for letters that the first one lacks; it does not warn of others."""
    from matplotlib.font_manager import fontManager

    known = {font.name for font in fontManager.ttflist}
    fonts = ["sans-serif", *(name for name in _MORE_FONTS if name in known)]
    with matplotlib.rc_context({**_STYLE, "font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _shown_in_notebooks(base: type[Figure]) -> type[Figure]:
    """A figure that a notebook shows although pyplot, with its global state, was never there."""

    class Shown(base):  # type: ignore[valid-type, misc]
        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            with _styled(_matplotlib()):
                self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()

    return Shown


def _draw_panel(axes: Axes, panel: Panel, picture: Picture, inches: float) -> None:
    from matplotlib.ticker import MaxNLocator

    several = len(picture.runs) > 1
    for number, curve in enumerate(panel.curves):
        look = curve.run if several else number
        _draw_curve(axes, curve, look, smooth=picture.smooth)
    for star in panel.stars:
        axes.plot(
            [star.x], _drawable([star.y]), marker="*", markersize=12, markeredgecolor="black",
            color=_star_colour(panel, star, several=several), markeredgewidth=0.8,
            linestyle="none", zorder=5, clip_on=False,
        )  # fmt: skip
    axes.set_xlabel(picture.x)
    drawn = positive([y for curve in panel.curves for y in (*curve.ys, *curve.raw)])
    if panel.log and drawn:
        label_values(axes, drawn)
    axes.xaxis.set_major_locator(
        MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    )
    xs = {x for curve in panel.curves for x in curve.xs} | {mark.x for mark in picture.marks}
    if len(xs) == 1:  # one epoch: an axis around it, not one of hundredths
        axes.set_xlim(min(xs) - 0.5, max(xs) + 0.5)
    name_panel(axes, panel, inches - _MARGIN_INCHES, several=several)
    mark_events(axes, picture)


def _first_star_colour(picture: Picture) -> str:
    """The colour of the star that the legend explains: of several runs no one's."""
    starred = next((panel for panel in picture.panels if panel.stars), None)
    if starred is None or len(picture.runs) > 1:
        return "white"
    return _star_colour(starred, starred.stars[0], several=False)


def _star_colour(panel: Panel, star: Star, *, several: bool) -> str:
    """The colour of the curve that it stands on."""
    at = next(i for i, one in enumerate(panel.curves) if one[:2] == (star.run, star.metric))
    return COLOURS[(star.run if several else at) % len(COLOURS)]


def _draw_curve(axes: Axes, curve: Curve, look: int, *, smooth: float) -> None:
    curve = curve._replace(ys=_drawable(curve.ys), raw=_drawable(curve.raw))
    colour = COLOURS[look % len(COLOURS)]
    dashes = DASHES[look // len(COLOURS) % len(DASHES)]
    if smooth:
        axes.plot(curve.xs, curve.raw, color=colour, linewidth=0.8, alpha=0.3)
    dots = "o" if len(curve.xs) <= _MAX_DOTS else ""
    axes.plot(
        curve.xs, curve.ys, color=colour, linestyle=dashes, linewidth=1.7, marker=dots,
        markersize=3.2, label=legible(curve.metric),
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

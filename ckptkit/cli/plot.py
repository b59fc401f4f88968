"""``ckptkit plot``: parse, look at the runs, draw."""

from __future__ import annotations

import math
from typing import Any

import click

from ckptkit.cli.options import json_option

_MAX_CHARTS = 4  # of a terminal, unless metrics are named


@click.command(name="plot", short_help="Draw the training curves of runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path())
@click.option("--out", metavar="FILE", type=click.Path(), help="Write a PNG, SVG or PDF file.")
@click.option(
    "--metric", "metrics", metavar="NAME", multiple=True,
    help="Draw this metric alone; a glob such as 'val_*' for several. Repeatable.",
)  # fmt: skip
@click.option("--x", type=click.Choice(["epoch", "step"]), help="What goes along the axis.")
@click.option("--log", is_flag=True, help="Logarithmic axes for the values.")
@click.option(
    "--smooth", default=0.0, show_default=True, metavar="WEIGHT",
    type=click.FloatRange(0.0, 1.0, max_open=True),
    help="Average over what was before, which has this weight.",
)  # fmt: skip
@click.option(
    "--height", default=14, show_default=True, type=click.IntRange(4, 200),
    help="Rows of a chart in the terminal.",
)  # fmt: skip
@json_option
def command(
    *,
    runs: tuple[str, ...],
    out: str | None,
    metrics: tuple[str, ...],
    x: str | None,
    log: bool,
    smooth: float,
    height: int,
    as_json: bool,
) -> None:
    """Draw the training curves of each RUN: here as text, or with --out as a picture.

    RUN is a run folder, the folder that holds it (its newest run), or a folder of checkpoints of
    any kind. Several are drawn over each other. Nothing in a run is changed.
    """
    from ckptkit.run.curves import Wish, plan_picture
    from ckptkit.run.view import open_run

    if math.isnan(smooth):
        raise click.BadParameter("nan is no weight", param_hint="'--smooth'")
    kind = "" if out is None else _format_of(out)
    views = [open_run(run) for run in runs]
    wish = Wish(metrics=metrics, x=x or "", log=log, smooth=smooth)
    picture = plan_picture(views, wish)
    nbytes = _write(picture, out) if kind and out else None
    if as_json:
        from ckptkit.cli.json_output import emit
        from ckptkit.cli.plot_json import picture_json

        emit(picture_json(picture, views, out, nbytes))
        return
    from ckptkit.cli.render_plot import drawn, written
    from ckptkit.cli.screen import show

    limit = len(picture.panels) if metrics else _MAX_CHARTS
    show(written(picture, views, out, nbytes) if out else drawn(picture, views, height, limit))


def _format_of(out: str) -> str:
    """The format that a name asks for. Raises: click.BadParameter."""
    from ckptkit.run.plot import FORMATS

    kind = out.rpartition(".")[2].lower() if "." in out else ""
    if kind not in FORMATS:
        raise click.BadParameter(
            f"{out!r} does not end in .{', .'.join(FORMATS)}", param_hint="'--out'"
        )
    return kind


def _write(picture: Any, out: str) -> int:
    from pathlib import Path

    from ckptkit.run.plot import draw, write_picture

    return write_picture(Path(out), draw(picture))

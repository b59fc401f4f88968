"""``ckptkit list``: parse, look, render."""

from __future__ import annotations

import os
from typing import Any

import click

from ckptkit.cli.options import json_option, limit_option
from ckptkit.types import Limits

SORTS = ("time", "name", "epoch", "step", "size")


@click.command(name="list", short_help="List every checkpoint below a folder, newest first.")
@click.argument("folder", default=".", type=click.Path())
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="time",
    show_default=True,
    help="time, epoch, step and size put the largest first.",
)
@click.option("--reverse", is_flag=True, help="Turn the order round.")
@click.option(
    "--depth",
    default=6,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many folders to go down.",
)
@limit_option
@json_option
def command(
    *, folder: str, sort: str, reverse: bool, depth: int, limits: Limits, as_json: bool
) -> None:
    """List every checkpoint below FOLDER (here, if not said), of any kind, and whether it is whole.

    One that cannot be read is a row that says why. Reads headers alone: `verify` reads the bytes.
    """
    from ckptkit.cli.progress import meter
    from ckptkit.verbs.listing import list_checkpoints

    with meter("looking", None, "files") as shown:
        listing = list_checkpoints(folder, limits=limits, max_depth=depth, progress=shown.advance)
    rows = sorted(listing.rows, key=lambda row: _key(row, sort), reverse=reverse)
    if not rows:
        from ckptkit.errors import NoCheckpointError

        seen = f"no checkpoint in it, nor in the folders down to {depth} below it"
        if listing.others:
            first = listing.others[0]
            seen = f"no checkpoint: {os.path.basename(first.path)} {first.reason}"  # noqa: PTH119
        raise NoCheckpointError(
            folder, seen, "a checkpoint of any kind",
            "name the folder of the run, or raise --depth",
        )  # fmt: skip
    if as_json:
        from ckptkit.cli.json_output import emit
        from ckptkit.cli.list_json import listing_json

        emit(listing_json(listing, rows))
    else:
        from ckptkit.cli.render_list import render
        from ckptkit.cli.screen import show

        show(render(listing, rows))


def _key(row: Any, sort: str) -> tuple[Any, ...]:
    """Largest first, unknown last, names in their natural order to break ties."""
    number: Any = {
        "time": row.modified_s,
        "epoch": row.stored_epoch if row.epochs_completed is None else row.epochs_completed,
        "step": row.stored_step if row.optimizer_steps is None else row.optimizer_steps,
        "size": row.nbytes,
    }.get(sort)
    known = isinstance(number, (int, float)) and number == number  # noqa: PLR0124  no NaN
    return (not known and sort != "name", -number if known else 0, natural(str(row.path)))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Split a name so that epoch_9 comes before epoch_10."""
    import re

    parts = re.split(r"([0-9]{1,18})", name)
    return [(0, int(part), "") if i % 2 else (1, 0, part) for i, part in enumerate(parts)]

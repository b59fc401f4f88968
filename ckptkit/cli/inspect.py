"""``ckptkit inspect``: parse, survey, render."""

from __future__ import annotations

import os

import click

from ckptkit.cli.options import (
    PathArgument,
    complete_sections,
    dialect_option,
    json_option,
    limit_option,
)
from ckptkit.types import Limits

EVERY = "*"


@click.command(name="inspect", short_help="Show what a checkpoint holds; reads headers alone.")
@click.argument("path", required=False, metavar="PATH", type=PathArgument())
@click.option(
    "--tensors",
    metavar="[GLOB]",
    is_flag=False,
    flag_value=EVERY,
    help="List the tensors, or those whose name matches GLOB; alike names in one line.",
)
@click.option("--tree", "with_tree", is_flag=True, help="Show the tree as it lies in the file.")
@click.option(
    "--section", metavar="NAME", shell_complete=complete_sections,
    help="Look at this section alone.",
)  # fmt: skip
@click.option(
    "--stats",
    is_flag=True,
    help="Read the tensors too: extremes, mean, deviation, NaN, zeros, histogram.",
)
@click.option("--every", is_flag=True, help="One line for each name: collapse nothing.")
@click.option(
    "--depth", default=4, show_default=True, type=click.IntRange(min=1), help="Levels of --tree."
)
@dialect_option
@limit_option
@json_option
def command(
    *,
    path: str | None,
    tensors: str | None,
    with_tree: bool,
    section: str | None,
    stats: bool,
    every: bool,
    depth: int,
    dialect: str | None,
    limits: Limits,
    as_json: bool,
) -> None:
    """Show what PATH holds, from its headers alone: loads no tensor, runs no code.

    PATH is a file or a folder of any kind that ckptkit opens, told by its content; of a run's
    folder, the folder that holds it, or `latest` the newest checkpoint is taken.
    """
    if path is None and tensors is not None and os.path.lexists(tensors):
        path, tensors = tensors, EVERY  # ``inspect --tensors model.pt``: the word is the path
    if path is None:
        raise click.UsageError("Missing argument 'PATH'.", click.get_current_context())
    from ckptkit.cli.newest import checkpoint_at
    from ckptkit.verbs.inspect import survey
    from ckptkit.verbs.open import load

    with load(checkpoint_at(path, limits), dialect=dialect, limits=limits) as checkpoint:
        from ckptkit.cli.inspect_view import View, make_view

        wanted = View(tensors, with_tree, section, stats, every, depth)
        shown = make_view(checkpoint, survey(checkpoint), wanted)
    if as_json:
        from ckptkit.cli.inspect_json import inspection_json
        from ckptkit.cli.json_output import emit

        emit(inspection_json(shown))
    else:
        from ckptkit.cli.render_inspect import render
        from ckptkit.cli.screen import show

        show(render(shown))

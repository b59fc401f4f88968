"""``ckptkit diff``: parse, compare, render."""

from __future__ import annotations

from typing import Any

import click

from ckptkit.cli.options import (
    PathArgument,
    complete_dialects,
    complete_sections,
    json_option,
    limit_option,
)
from ckptkit.types import Limits


@click.command(name="diff", short_help="Compare two checkpoints of any kind.")
@click.argument("a", metavar="A", type=PathArgument())
@click.argument("b", metavar="B", type=PathArgument())
@click.option(
    "--section", "sections", metavar="NAME", multiple=True, shell_complete=complete_sections,
    help="Compare this section alone. Repeatable.",
)  # fmt: skip
@click.option("--no-values", is_flag=True, help="Compare names, shapes and dtypes alone.")
@click.option("--verify", is_flag=True, help="Trust no recorded digest: read every byte.")
@click.option("--rtol", default=0.0, type=click.FloatRange(0), help="Relative tolerance of values.")
@click.option("--atol", default=0.0, type=click.FloatRange(0), help="Absolute tolerance of values.")
@click.option("--every", is_flag=True, help="One line for each name: collapse and cut nothing.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option(
    "--dialect-a", metavar="NAME", shell_complete=complete_dialects, help="The dialect of A."
)
@click.option(
    "--dialect-b", metavar="NAME", shell_complete=complete_dialects, help="The dialect of B."
)
@limit_option
@json_option
def command(
    *, a: str, b: str, every: bool, limits: Limits, as_json: bool, no_values: bool, **options: Any
) -> None:
    """Say in what the checkpoints A and B differ, whatever they are and whoever wrote them.

    Of a run's folder, the folder that holds it, or `latest` the newest checkpoint is taken.

    Sections are compared as version 2 has them: names, shapes and dtypes of tensors, their values
    by digest first, and all settings. Exit code 0: nothing differs; 1: something does; more:
    trouble.
    """
    from ckptkit.cli.newest import checkpoint_at
    from ckptkit.cli.progress import meter
    from ckptkit.errors import DifferenceFoundError
    from ckptkit.verbs.diff import DiffOptions, diff

    first, second = (checkpoint_at(path, limits) for path in (a, b))
    with meter("comparing", None) as shown:
        report = diff(
            first, second,
            DiffOptions(
                values=not no_values, limits=limits, started=shown.restart,
                progress=shown.advance, **options,
            ),
        )  # fmt: skip
    if as_json:
        from ckptkit.cli.diff_json import diff_json
        from ckptkit.cli.json_output import emit

        emit(diff_json(report, every=every))
    else:
        from ckptkit.cli.render_diff import render
        from ckptkit.cli.screen import show

        show(render(report, every=every))
    if not report.same:
        raise click.exceptions.Exit(DifferenceFoundError.exit_code)

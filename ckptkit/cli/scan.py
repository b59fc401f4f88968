"""``ckptkit scan``: parse, scan, render."""

from __future__ import annotations

from typing import Any

import click

from ckptkit.cli.options import json_option, limit_option
from ckptkit.types import Limits


@click.command(name="scan", short_help="Show what unpickling a file would run; runs nothing.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option("--strict", is_flag=True, help="Names that ckptkit does not know fail, too.")
@click.option("--all", "with_all", is_flag=True, help="Show the harmless names, too.")
@limit_option
@json_option
def command(
    *, paths: tuple[str, ...], strict: bool, with_all: bool, limits: Limits, as_json: bool
) -> None:
    """Follow every pickle in each PATH and show what an unpickler would name and call.

    Nothing is imported or run. Exit code 0: data alone, or names that only an unpickler that trusts
    their packages would call; 60: something in it is dangerous or hides what it is; a file that
    breaks off before anything bad ends with the code of its breakage.
    """
    from ckptkit.errors import CkptkitError, PluginError
    from ckptkit.verbs.scan import scan

    outcomes: list[Any] = []
    codes: list[int] = []
    for path in paths:
        try:
            found = scan(path, limits)
        except PluginError:
            raise
        except CkptkitError as exc:
            if len(paths) == 1:
                raise
            outcomes.append((path, exc))
            codes.append(exc.exit_code)
            continue
        outcomes.append(found)
        finding = found.finding(strict=strict)
        codes.append(finding.exit_code if finding else 0)
    _print(outcomes, with_all=with_all, as_json=as_json)
    if any(codes):
        # Danger outweighs everything; else the first path that failed decides.
        raise click.exceptions.Exit(60 if 60 in codes else next(filter(None, codes)))


def _print(outcomes: list[Any], *, with_all: bool, as_json: bool) -> None:
    if as_json:
        from ckptkit.cli.json_output import emit
        from ckptkit.cli.scan_json import scans_json

        emit(scans_json(outcomes))
    else:
        from ckptkit.cli.render_scan import render
        from ckptkit.cli.screen import show

        show(render(outcomes, with_all=with_all))

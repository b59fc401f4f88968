"""``ckptkit scan``: parse, scan, render."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ckptkit.cli.options import json_option, limit_option
from ckptkit.types import Limits

if TYPE_CHECKING:
    from ckptkit.cli.progress import Meter


class _Named(click.Path):
    """A path that says something: "" would be the folder that the shell stands in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Refuse an empty path as a usage error."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


@click.command(name="scan", short_help="Show what unpickling a file would run; runs nothing.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=_Named())
@click.option("--strict", is_flag=True, help="Names that ckptkit does not know fail, too.")
@click.option("--all", "with_all", is_flag=True, help="Show the harmless names, too.")
@limit_option
@json_option
def command(
    *, paths: tuple[str, ...], strict: bool, with_all: bool, limits: Limits, as_json: bool
) -> None:
    """Follow every pickle in each PATH and show what an unpickler would name and call.

    Of a folder, every file is read, at any depth. Nothing is imported or run. Exit code 0: all was
    read, and is data alone, or names that only an unpickler that trusts their packages would call;
    60: something in it is dangerous or hides what it is; otherwise the code of the first thing that
    is broken or could not be read.
    """
    from ckptkit.cli.progress import meter
    from ckptkit.cli.safe_text import safe
    from ckptkit.errors import CkptkitError, PluginError
    from ckptkit.verbs.scan import scan

    outcomes: list[Any] = []
    codes: list[int] = []
    for path in paths:
        try:
            title = f"scanning {safe(path)}"
            with meter(title) as shown:
                found = scan(path, limits, _reporter(shown, title))
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


def _reporter(shown: Meter, title: str) -> Callable[[int, int], None]:
    """Tell the meter of the bytes of all files as soon as they are known."""
    begun = False

    def progress(nbytes: int, total: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            shown.restart(title, total)
        shown.advance(nbytes)

    return progress


def _print(outcomes: list[Any], *, with_all: bool, as_json: bool) -> None:
    if as_json:
        from ckptkit.cli.json_output import emit
        from ckptkit.cli.scan_json import scans_json

        emit(scans_json(outcomes))
    else:
        from ckptkit.cli.render_scan import render
        from ckptkit.cli.screen import show

        show(render(outcomes, with_all=with_all))

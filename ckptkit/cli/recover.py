"""``ckptkit recover``: parse, recover, render."""

from __future__ import annotations

from typing import Any

import click

from ckptkit.cli.options import PathArgument, dialect_option, json_option, limit_option
from ckptkit.types import Limits


@click.command(name="recover", short_help="Save what a damaged checkpoint still holds.")
@click.argument("source", type=PathArgument())
@click.argument("target", metavar="DST", type=PathArgument())
@click.option("--dry-run", is_flag=True, help="Show what could be saved; write nothing.")
@click.option("--replace", is_flag=True, help="Replace DST if it exists, atomically.")
@click.option("--every", is_flag=True, help="One line for each lost tensor: collapse nothing.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@dialect_option
@limit_option
@json_option
def command(
    *,
    source: str,
    target: str,
    dry_run: bool,
    replace: bool,
    every: bool,
    workers: int,
    dialect: str | None,
    limits: Limits,
    as_json: bool,
) -> None:
    """Save every whole tensor of SOURCE, cut or damaged, into a sealed v2 folder DST.

    SOURCE may be a torch zip or legacy file, a safetensors file, sharded weights, a folder of
    such, a sealed folder, or the stage of a save that died. DST says what it lacks. Exit code 62
    says that something is lost or not certain; without one whole tensor there is no DST.
    """
    report = _run(
        source, target, dry_run=dry_run, replace=replace, workers=workers, dialect=dialect,
        limits=limits,
    )  # fmt: skip
    if as_json:
        from ckptkit.cli.json_output import emit
        from ckptkit.cli.recover_json import recovery_json

        emit(recovery_json(report))
    else:
        from ckptkit.cli.render_recover import render
        from ckptkit.cli.screen import show

        show(render(report, every=every))
    finding = report.finding()
    if finding is not None:
        raise click.exceptions.Exit(finding.exit_code)


def _run(source: str, target: str, **options: Any) -> Any:
    from datetime import UTC, datetime

    from ckptkit.cli.ended import said_if_ended
    from ckptkit.cli.progress import meter
    from ckptkit.verbs.recover import RecoverOptions, recover

    titles = iter(("checking",))
    with meter("checking", None) as shown, said_if_ended(source, target, recursive=False):
        return recover(
            source, target,
            RecoverOptions(
                **options, created=datetime.now(UTC).isoformat(timespec="seconds"),
                started=lambda nbytes: shown.restart(next(titles, "recovering"), nbytes),
                progress=shown.advance,
            ),
        )  # fmt: skip

"""``ckptkit prune``: parse, plan, show, ask, remove."""

from __future__ import annotations

from typing import Any

import click

from ckptkit.cli.options import json_option

_COUNT = click.IntRange(min=1)


@click.command(name="prune", short_help="Remove the checkpoints of a run that no policy keeps.")
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--keep-last", type=_COUNT, metavar="N", help="Keep the N newest.")
@click.option("--keep-best", type=_COUNT, metavar="K", help="Keep the K best.")
@click.option(
    "--mode", type=click.Choice(["min", "max"]), help="What is best; as the run says, if left out."
)
@click.option("--every-epochs", type=_COUNT, metavar="M", help="Keep one every M epochs.")
@click.option("--every-steps", type=_COUNT, metavar="M", help="Keep one every M steps.")
@click.option("--hours", type=_COUNT, metavar="N", help="Keep the newest of each of N hours.")
@click.option("--days", type=_COUNT, metavar="N", help="Keep the newest of each of N days.")
@click.option(
    "--full", type=_COUNT, metavar="N", help="Only the N newest keep what a resume needs."
)
@click.option(
    "--pin", "pins", metavar="NAME", multiple=True, help="Keep this one for ever. Repeatable."
)
@click.option("--dry-run", is_flag=True, help="Show what would go; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(*, folder: str, pins: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Remove those checkpoints of the run in DIR that none of the policies keeps.

    DIR is a run folder, the folder that holds it (its newest run), or a folder of sealed
    checkpoints. The newest that verifies, the best, what a second name holds and what is pinned
    always stay; damaged ones and files of other programs are never touched.
    """
    from pathlib import Path

    from ckptkit.run.folders import locate

    dry_run, yes = options.pop("dry_run"), options.pop("yes")
    mode = options.pop("mode")
    if mode and not options["keep_best"]:
        raise click.UsageError("--mode belongs to --keep-best")
    if not any(options.values()) and not pins:
        raise click.UsageError(
            "name what is to stay: --keep-last, --keep-best, --every-epochs, --every-steps, "
            "--hours, --days or --full"
        )
    experiment = locate(Path(folder))
    ask = _asker(as_json=as_json) if any(options.values()) and not (dry_run or yes) else None
    from ckptkit.cli.pruning import Asked, prune

    asked = Asked(policies=options, mode=mode, pins=pins, dry_run=dry_run)
    outcome = prune(experiment, asked, ask, as_json=as_json)
    if as_json:
        from ckptkit.cli.json_output import emit
        from ckptkit.cli.prune_json import outcome_json

        emit(outcome_json(outcome))


def _asker(*, as_json: bool) -> Any:
    """What asks. Raises: click.UsageError where nobody could answer, or would be read."""
    from ckptkit.run.tell import ask_on_terminal

    ask = None if as_json else ask_on_terminal()
    if ask is None:
        raise click.UsageError(
            "nobody can be asked here: say --yes to remove, or --dry-run to look"
        )
    return ask

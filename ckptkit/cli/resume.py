"""``ckptkit resume PATH``: go on with what lies there, as it was begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ckptkit.cli.options import PathArgument
from ckptkit.cli.path_command import PathCommand, config_options, meant
from ckptkit.cli.setting_options import said
from ckptkit.cli.training_options import (
    RESUMING,
    RUNNING,
    SETTINGS,
    complete_trainers,
    params_of,
)

# fmt: off
_OWN = (
    click.option(
        "--trainer", metavar="NAME", shell_complete=complete_trainers,
        help="Whose training to go on with, where the checkpoint does not say it."),
    click.option(
        "--out", metavar="DIR", type=click.Path(),
        help="Where the new run lies, if the checkpoint is in none. [default: runs/NAME]"),
)
# fmt: on


@click.pass_context
def _resume(ctx: click.Context, /, *, path: str, out: str | None, **params: Any) -> None:
    from ckptkit.cli.training import begin
    from ckptkit.training.subject import RUNS, find_subject

    _, trainer, options = meant(ctx)
    params.pop("trainer")
    subject = find_subject(path)
    if out is not None and subject.root is not None:
        raise click.UsageError(
            f"--out {out}: {path} is of the run {subject.path}, which is gone on with in its place"
        )
    folder = subject.root or Path(RUNS, trainer.name) if out is None else Path(out)
    settings = said(params, options)
    begin(trainer, folder, resume=str(subject.path), said=settings, **params)


command = PathCommand(
    "resume", callback=_resume, settings=config_options,
    short_help="Go on with a run of a trainer.",
    params=[
        click.Argument(["path"], type=PathArgument()),
        *params_of(_OWN, RESUMING, SETTINGS, RUNNING),
    ],
    help="""Go on with PATH: a checkpoint of a trainer, an alias such as best_model, a run's folder,
    the folder that holds it, or `latest` for the newest run below runs/.

    The run goes on in its folder with the settings that it was saved with; the settings of its
    trainer are options here, which change them: `ckptkit resume PATH --help` shows those. A file
    of another program needs --trainer NAME, and a new run goes on from it.
    """,
)  # fmt: skip

"""``ckptkit train NAME``: the trainers of all plugins, each with the options of its config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ckptkit.cli.setting_options import SectionedCommand, said, setting_options
from ckptkit.cli.training_options import (
    FRESH_OR_NOT,
    RESUMING,
    RUNNING,
    SETTINGS,
    params_of,
    resume_word,
)
from ckptkit.protocols import Trainer


class TrainGroup(click.Group):
    """A group of the trainers; a trainer's config is imported when it is called by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all trainers."""
        del ctx
        from ckptkit.hooks.manager import trainers

        return [one.name for one in trainers()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Ask for a trainer where none is named. Raises: click.UsageError."""
        if not args and not ctx.resilient_parsing:
            known = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"no trainer is named; there are: {known or 'none'}", ctx)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of one trainer. Raises: UnknownTrainerError, TrainerError."""
        from ckptkit.errors import CkptkitError
        from ckptkit.training.find import find_trainer

        try:
            return trainer_command(find_trainer(cmd_name))
        except CkptkitError:
            if ctx.resilient_parsing:  # completion: there is nobody to tell
                return None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the trainers with their titles, and what is missing for one."""
        del ctx
        from ckptkit.hooks.manager import trainers
        from ckptkit.training.find import missing_libraries

        with formatter.section("Trainers"):
            rows = []
            for one in trainers():
                missing = ", ".join(missing_libraries(one))
                rows.append((one.name, one.title + (f" (needs {missing})" if missing else "")))
            formatter.write_dl(rows or [("none", "ckptkit plugins says what is installed")])


def trainer_command(trainer: Trainer) -> click.Command:
    """Return the command that trains with one trainer. Raises: TrainerError."""
    from ckptkit.training.option import options_of

    options = options_of(trainer, trainer.config)

    def train(*, out: str | None, **params: Any) -> None:
        from ckptkit.cli.training import begin
        from ckptkit.training.subject import RUNS

        folder = Path(RUNS, trainer.name) if out is None else Path(out)
        resume, settings = resume_word(params), said(params, options)
        begin(trainer, folder, resume=resume, said=settings, **params)

    where = click.Option(
        ["--out"], metavar="DIR", type=click.Path(), help=f"Where its runs lie. [default: {_OUT}]"
    )
    common = [where, *params_of(FRESH_OR_NOT, RESUMING, SETTINGS, RUNNING)]
    return SectionedCommand(
        trainer.name, callback=train, params=[*setting_options(trainer, options, common), *common],
        help=f"Train {trainer.name}: {trainer.title}.", short_help=trainer.title,
    )  # fmt: skip


_OUT = "runs/NAME"


@click.command(
    name="train", cls=TrainGroup, short_help="Train with a trainer of a plugin.",
    subcommand_metavar="NAME [OPTIONS]",
)  # fmt: skip
def command() -> None:
    """Train with NAME, one of the trainers below, into a folder of its own in runs/NAME.

    Ctrl+C finishes the step, saves and leaves; `ckptkit resume latest` goes on from there.
    `ckptkit train NAME --help` shows the settings of a trainer.
    """

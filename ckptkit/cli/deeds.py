"""``ckptkit sample PATH`` and ``ckptkit evaluate PATH``: what a trainer does with a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ckptkit.cli.options import PathArgument, json_option
from ckptkit.cli.path_command import PathCommand, meant
from ckptkit.cli.setting_options import said
from ckptkit.cli.training_options import SETTINGS, complete_trainers, params_of
from ckptkit.protocols import Trainer
from ckptkit.training.option import Option

if TYPE_CHECKING:
    from ckptkit.training.run_it import Deed

# fmt: off
_OWN = (
    click.option(
        "--which", metavar="NAME", default="latest", show_default=True,
        help="Which checkpoint, where PATH is a run: latest, best, or a name."),
    click.option(
        "--trainer", metavar="NAME", shell_complete=complete_trainers,
        help="Whose checkpoint it is, where it does not say it."),
)
# fmt: on


def deed_command(action: str, *, short_help: str, text: str) -> click.Command:
    """Make the command that calls one action of whichever trainer a checkpoint is of."""

    def settings(trainer: Trainer) -> tuple[Option, ...]:
        from ckptkit.training.find import find_action
        from ckptkit.training.option import options_of

        found = find_action(trainer, action)
        return options_of(trainer, found.options, f"{action} options")

    @click.pass_context
    def run(ctx: click.Context, /, **params: Any) -> None:
        _do(ctx, action, **params)

    return PathCommand(
        action, callback=run, settings=settings, section=f"Options of {action}",
        short_help=short_help, help=text,
        params=[
            click.Argument(["path"], type=PathArgument()),
            *params_of(_OWN, SETTINGS, (json_option,)),
        ],
    )  # fmt: skip


def _do(
    ctx: click.Context, action: str, *, path: str, which: str, config_file: str | None,
    pairs: dict[str, str], as_json: bool, **params: Any,
) -> None:  # fmt: skip
    from ckptkit.cli import render_training
    from ckptkit.cli.call_trainer import called
    from ckptkit.cli.training import as_usage, settings_layers
    from ckptkit.errors import SettingError
    from ckptkit.training.build import Layer
    from ckptkit.training.find import find_action
    from ckptkit.training.run_it import do, plan_deed
    from ckptkit.training.subject import checkpoint_to_use, find_subject, use_chosen

    _, trainer, options = meant(ctx)
    layers = settings_layers(config_file, pairs, {})
    asked = Layer("option", said(params, options))

    def use(checkpoint: Path) -> tuple[Deed, dict[str, Any]]:
        try:
            planned = plan_deed(
                trainer, find_action(trainer, action), checkpoint, settings=layers, options=asked
            )
        except SettingError as exc:
            raise as_usage(exc) from exc
        return planned, called(trainer.name, lambda: do(planned))

    planned, found = use_chosen(lambda: checkpoint_to_use(find_subject(path), which), use)
    if as_json:
        from ckptkit.cli.json_output import emit

        emit(render_training.deed_json(planned, found))
    else:
        from ckptkit.cli.screen import show

        show(render_training.deed(planned, found))

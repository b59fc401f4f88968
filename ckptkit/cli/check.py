"""``ckptkit check``: parse, plan, render."""

from __future__ import annotations

import os
from typing import Any

import click

from ckptkit.cli.options import PathArgument, dialect_option, json_option, limit_option
from ckptkit.cli.restore_options import factory_options, restore_options


@click.command(name="check", short_help="Say whether a checkpoint would load into a model.")
@click.argument("path", type=PathArgument())
@click.option(
    "--model", required=True, metavar="MODULE:FACTORY",
    help="What makes the model: train:make_model, pkg.mod:Net.build, train.py:make_model.",
)  # fmt: skip
@factory_options
@restore_options
@click.option("--every", is_flag=True, help="One line for each name: collapse nothing.")
@dialect_option
@limit_option
@json_option
def command(*, every: bool, as_json: bool, **asked: Any) -> None:
    """Plan to load PATH, a checkpoint of any kind, into the model that MODULE:FACTORY makes.

    Of a run's folder, the folder that holds it, or `latest` the newest checkpoint is taken.

    The factory is your own code: it is imported as `python -m` would, from the current folder,
    and runs on the meta device, where a model costs no memory. All that stands at the top level of
    its file runs, too: a script that trains belongs under `if __name__ == "__main__":`. The
    checkpoint is read, never run.
    Exit code 0: it would load. Otherwise that of the error that ckptkit.restore would raise.
    """
    report = _checked(**asked)
    if as_json:
        from ckptkit.cli.json_output import emit

        emit(report.as_dict())
    else:
        from ckptkit.cli.render_check import render
        from ckptkit.cli.screen import show

        show(render(report, every=every))
    if not report.ok:
        raise click.exceptions.Exit(_exit_code(report.error))


def _checked(
    *, path: str, model: str, args: list[Any], kwargs: dict[str, Any], optimizer: str | None,
    apply_renames: bool, **options: Any,
) -> Any:  # fmt: skip
    from ckptkit.cli.newest import checkpoint_at
    from ckptkit.verbs.check import check
    from ckptkit.verbs.factory import Factory

    root = os.getcwd()  # noqa: PTH109  a string is what sys.path takes
    optimizer_factory = None
    if optimizer:
        optimizer_factory = Factory(
            spec=optimizer, root=root, option="--optimizer", takes_arguments=False
        )
    return check(
        checkpoint_at(path, options["limits"]),
        Factory(spec=model, args=args, kwargs=kwargs, root=root, option="--model"),
        optimizer=optimizer_factory,
        apply_proposals=apply_renames,
        **options,
    )


def _exit_code(kind: str) -> int:
    """That of the error which a restore would raise."""
    from ckptkit.errors import MismatchError, RestoreError

    codes = {error.__name__: error.exit_code for error in RestoreError.__subclasses__()}
    return codes.get(f"{kind}Error", MismatchError.exit_code)

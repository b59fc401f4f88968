"""The options of ``check`` that say what to build and what to allow: the arguments of restore."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ckptkit.cli.options import complete_sections

Command = TypeVar("Command", bound=Callable[..., Any])


def _read_list(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Any:
    """Parse the arguments of a factory by position."""
    return _read_json(text or "[]", list, "a list, such as [512, true]")


def _read_object(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Any:
    """Parse the arguments of a factory by name."""
    return _read_json(text or "{}", dict, 'an object, such as {"width": 512}')


def _read_json(text: str, kind: type[Any], wanted: str) -> Any:
    import json

    try:
        value = json.loads(text)
    except ValueError as exc:
        raise click.BadParameter(f"{text!r} is no JSON: {exc}") from exc
    if not isinstance(value, kind):
        raise click.BadParameter(f"{text!r} is not {wanted}")
    return value


def _read_rules(
    _ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Parse ``OLD=NEW``; what is no regular expression is refused here."""
    rules = []
    for word in words:
        old, mark, new = word.partition("=")
        if not mark or not old:
            raise click.BadParameter(rf"{word!r} is not OLD=NEW, such as '^module\.='")
        try:
            re.compile(old)
            re.sub(old, new, "")
        except (re.error, IndexError) as exc:
            raise click.BadParameter(f"{word!r}: {exc}") from exc
        rules.append((old, new))
    return tuple(rules)


# fmt: off
_FACTORY = (
    click.option(
        "--args", "args", metavar="JSON", callback=_read_list,
        help="A list: the factory's arguments by position."),
    click.option(
        "--kwargs", "kwargs", metavar="JSON", callback=_read_object,
        help="An object: the factory's arguments by name."),
    click.option(
        "--optimizer", metavar="MODULE:FACTORY",
        help="Check the optimizer that this makes of the model, too."),
    click.option(
        "--device", default="meta", show_default=True, metavar="NAME",
        help="Where the factory runs; cpu where it cannot run on the meta device."),
)
_RESTORE = (
    click.option(
        "--section", default="model", show_default=True, metavar="NAME",
        shell_complete=complete_sections, help="The section that is to fill the model."),
    click.option(
        "--mode", default="resume", show_default=True, help="What is restored.",
        type=click.Choice(["resume", "warm-start", "fork"])),
    click.option(
        "--use", default="raw", show_default=True, type=click.Choice(["raw", "ema"]),
        help="Which weights fill the model."),
    click.option(
        "--allow-missing", multiple=True, metavar="GLOB",
        help="Names that the checkpoint may lack. Repeatable."),
    click.option(
        "--allow-unexpected", multiple=True, metavar="GLOB",
        help="Names that the model may lack. Repeatable."),
    click.option(
        "--rename", multiple=True, metavar="OLD=NEW", callback=_read_rules,
        help="Rename stored names: a regular expression and its replacement. Repeatable."),
    click.option("--apply-renames", is_flag=True, help="Apply the likely renames that are found."),
    click.option(
        "--on-shape", default="error", show_default=True,
        type=click.Choice(["error", "skip", "slice"]), help="What to do where shapes differ."),
    click.option(
        "--min-coverage", default=0.5, show_default=True, type=click.FloatRange(0, 1),
        help="The least fraction of parameters, and of bytes, to fill."),
    click.option(
        "--on-conflict", default="checkpoint", show_default=True,
        type=click.Choice(["checkpoint", "current", "error"]), help="Whose hyper-parameters win."),
)
# fmt: on


def factory_options(command: Command) -> Command:
    """Add ``--args``, ``--kwargs``, ``--optimizer`` and ``--device``."""
    for add in reversed(_FACTORY):
        command = add(command)
    return command


def restore_options(command: Command) -> Command:
    """Add what ``ckptkit.restore`` takes, under the same names."""
    for add in reversed(_RESTORE):
        command = add(command)
    return command

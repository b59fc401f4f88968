"""The settings of a trainer as options of a command, sorted by what they mean on resume."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from ckptkit.errors import TrainerError
from ckptkit.protocols import Trainer
from ckptkit.training.kinds import UNREADABLE, Kind, read_value
from ckptkit.training.option import REQUIRED, Option

ARCHITECTURE = "Architecture (what a run was begun with stays, but by --force)"
FREE = "Training (all of it may change on resume)"
OWN = "Options"


class SettingType(click.ParamType[Any]):
    """The type of one setting."""

    name = "setting"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a word. Raises: click.BadParameter."""
        try:
            return (read_value(self.kind, value),)  # in a tuple: None may be a value, too
        except UNREADABLE:
            self.fail(f"{value!r} is not {self.kind.title}", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Choices; files for a path."""
        del ctx, param
        if self.kind.base.__name__ == "Path":
            return [CompletionItem(incomplete, type="file")]
        begun = [str(c) for c in self.kind.choices if str(c).startswith(incomplete)]
        return [CompletionItem(one) for one in begun]


class SettingOption(click.Option):
    """An option that stands in a section of its own in ``--help``."""

    def __init__(
        self, words: Sequence[str], *, section: str, setting: str = "", **told: Any
    ) -> None:
        super().__init__(words, **told)
        self.section, self.setting = section, setting


def setting_options(
    trainer: Trainer, options: Iterable[Option], beside: Iterable[click.Parameter], *,
    section: str = "",
) -> list[SettingOption]:  # fmt: skip
    """One click option a setting; its value is None where it was not said.

    ``beside`` are the options of the command itself. Raises: TrainerError for one of their names.
    """
    made = [_option(one, section or _section(one)) for one in options]
    taken = {word for param in beside for word in param.opts} | {"--help"}
    for one in made:
        if words := taken & {*one.opts, *one.secondary_opts}:
            raise TrainerError(
                f"trainer {trainer.name}", f"its setting {one.setting} would be {words.pop()}",
                "a name that no option of ckptkit has", "rename the setting",
            )  # fmt: skip
    return made


def _section(option: Option) -> str:
    return ARCHITECTURE if option.policy == "architecture" else FREE


def _option(option: Option, section: str) -> SettingOption:
    told = " ".join(filter(None, (option.help, f"[{_default(option)}]")))
    name = _parameter(option.name)
    if option.is_switch:
        words = [f"{option.flag}/--no-{option.flag[2:]}", name]
        return SettingOption(words, section=section, setting=option.name, default=None, help=told)
    return SettingOption(
        [option.flag, name], section=section, setting=option.name, help=told, multiple=True,
        type=SettingType(option.kind), metavar=_metavar(option.kind), callback=_once,
    )  # fmt: skip


def _once(_ctx: click.Context, _param: click.Parameter, said: tuple[Any, ...]) -> Any:
    """Refuse an option that was said twice: the last word would silently win over the others."""
    if len(set(said)) > 1:
        raise click.BadParameter(f"said {len(said)} times; say it once")
    return said[0] if said else None


def _parameter(name: str) -> str:
    """A name that no option of ours has."""
    return f"setting_{name}"


def _metavar(kind: Kind) -> str:
    if kind.choices and not kind.many:
        return f"[{'|'.join(map(str, kind.choices))}]"
    return kind.metavar


def _default(option: Option) -> str:
    if option.default is REQUIRED:
        return "required"
    value = option.default
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    if isinstance(value, bool):
        value = "on" if value else "off"
    return f"default: {'none' if value is None else value if value != '' else 'empty'}"


def said(params: dict[str, Any], options: Sequence[Option]) -> dict[str, Any]:
    """The settings that were said on the command line, taken out of ``params``."""
    values = {}
    for one in options:
        value = params.pop(_parameter(one.name), None)
        if value is not None:
            values[one.name] = value[0] if isinstance(value, tuple) else value
    return values


class SectionedCommand(click.Command):
    """A command whose help shows its options by section, those of the run itself last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list for each section."""
        sections: dict[str, list[tuple[str, str]]] = {ARCHITECTURE: [], FREE: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                sections.setdefault(getattr(param, "section", OWN), []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

"""A command whose options depend on the checkpoint that it is given: those of its trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from ckptkit.cli.setting_options import SectionedCommand, setting_options
from ckptkit.errors import CkptkitError, UnknownTrainerError
from ckptkit.protocols import Trainer
from ckptkit.training.option import Option, options_of

_PARAMS, _MEANT = "ckptkit.cli.params", "ckptkit.cli.meant"


class Meant(NamedTuple):
    """What a command line means: the path, the trainer behind it, the options that it brings."""

    word: str
    trainer: Trainer
    options: tuple[Option, ...]


OptionsOf = Callable[[Trainer], tuple[Option, ...]]


class PathCommand(SectionedCommand):
    """``settings`` gives the options that a trainer adds; ``section`` is where help shows them."""

    def __init__(self, *args: Any, settings: OptionsOf, section: str = "", **told: Any) -> None:
        super().__init__(*args, **told)
        self._settings, self._section = settings, section

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters of all, and those of the trainer that the path names."""
        return [*ctx.meta.get(_PARAMS, ()), *super().get_params(ctx)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look which trainer is meant before anything is parsed. Raises: CkptkitError."""
        word, named = self._look(args)
        if word or named:
            try:
                trainer = trainer_of(word, named)
                options = self._settings(trainer)
            except CkptkitError:
                if not ctx.resilient_parsing:
                    raise
            else:
                ctx.meta[_PARAMS] = setting_options(
                    trainer, options, self.params, section=self._section
                )
                ctx.meta[_MEANT] = Meant(word, trainer, options)
        return super().parse_args(ctx, args)

    def _look(self, args: Sequence[str]) -> tuple[str, str]:
        """Find the path and the ``--trainer`` among words whose options are not known yet."""
        takes_value = self._takes_value()
        word, named = "", ""
        words = iter(args)
        for one in words:
            name, sign, value = one.partition("=")
            if not one.startswith("-"):
                word = word or one
            elif one == "--":
                word = word or next(words, "")
            elif name in takes_value:
                value = value if sign else next(words, "")
                named = value if name == "--trainer" else named
        return word, named

    def _takes_value(self) -> set[str]:
        """Every option that is followed by a value, of this command and of any trainer."""
        own = [p for p in self.params if isinstance(p, click.Option) and not p.is_flag]
        return {name for p in own for name in p.opts} | {
            option.flag for option in self._of_all() if not option.is_switch
        }

    def _of_all(self) -> Iterator[Option]:
        from ckptkit.hooks.manager import trainers

        for trainer in trainers():
            try:
                yield from self._settings(trainer)
            except CkptkitError:  # it has no such action, or is broken: its own command says so
                continue


def meant(ctx: click.Context) -> Meant:
    """What the command line of this context means."""
    found: Meant = ctx.meta[_MEANT]
    return found


def trainer_of(word: str, named: str = "") -> Trainer:
    """Find the trainer of what lies at a path. ``named``: by the user.

    Raises: UnknownTrainerError, NoCheckpointError; as ``ckptkit.load``.
    """
    from ckptkit.training.find import find_trainer
    from ckptkit.training.stored import read_stored_settings
    from ckptkit.training.subject import find_subject, settings_source, use_chosen

    if not word:
        return find_trainer(named)
    found = use_chosen(lambda: settings_source(find_subject(word)), read_stored_settings)
    source, stored = found.path, found.trainer
    if named and stored not in ("", named):
        raise click.UsageError(f"--trainer {named}: {source} is a checkpoint of {stored}")
    if not (named or stored):
        raise UnknownTrainerError(
            source, "names no trainer", "a checkpoint that a trainer saved",
            "say whose it is to be: --trainer NAME; ckptkit plugins lists the trainers",
        )  # fmt: skip
    return find_trainer(named or stored)


def config_options(trainer: Trainer) -> tuple[Option, ...]:
    """The settings of a trainer."""
    return options_of(trainer, trainer.config)

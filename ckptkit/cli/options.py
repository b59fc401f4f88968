"""Options that several commands share, each with one meaning everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ckptkit.types import DEFAULT_LIMITS, Limits

Command = TypeVar("Command", bound=Callable[..., Any])

SECTIONS = (
    "model", "ema", "optimizer", "scheduler", "scaler", "rng", "data", "progress", "metrics",
    "history", "config", "trackers", "provenance", "extra",
)  # fmt: skip

_VALUE = re.compile(r"(\d+)\s*([kmgt]?)(i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class PathArgument(click.Path):
    """A path that is named. Whether it can be read, our own errors say, each with its code."""

    def __init__(self) -> None:
        super().__init__(readable=False)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Refuse the empty word, which the system would take for the current folder."""
        if not value:
            self.fail("an empty path names nothing", param, ctx)
        return super().convert(value, param, ctx)


def share_path_type(command: click.Command) -> click.Command:
    """Give every path of a command this one type, so that none can forget it."""
    for param in command.params:
        if isinstance(param.type, click.Path):
            param.type = PathArgument()
    return command


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object; docs/cli.md has its fields."
    )(command)


def dialect_option(command: Command) -> Command:
    """Add ``--dialect``."""
    return click.option(
        "--dialect", metavar="NAME", shell_complete=complete_dialects,
        help="Read the keys as this dialect, whatever they look like.",
    )(command)  # fmt: skip


def limit_option(command: Command) -> Command:
    """Add ``--limit``, which hands the command a ``Limits``."""
    return click.option(
        "--limit", "limits", metavar="NAME=VALUE", multiple=True, callback=_read_limits,
        help="Raise a limit on what a file may ask for, such as max_pickle_nbytes=8G. Repeatable.",
    )(command)  # fmt: skip


def complete_dialects(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Names of dialects, those of plugins too."""
    from ckptkit.hooks.manager import dialects

    return [part.name for part in dialects() if part.name.startswith(begun)]


def complete_sections(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Names of sections of the version 2 document."""
    return [name for name in SECTIONS if name.startswith(begun)]


def _read_limits(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> Limits:
    """Parse ``NAME=VALUE`` words; a value may end in k, M, G or T (powers of 1024)."""
    from dataclasses import replace

    changes: dict[str, int] = {}
    names = [*Limits.__slots__]
    for word in words:
        name, sign, text = word.partition("=")
        match = _VALUE.fullmatch(text.strip())
        if name not in names:
            from difflib import get_close_matches

            near = get_close_matches(name, names, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise click.BadParameter(f"{name!r} is no limit; {meant}")
        if not sign:
            raise click.BadParameter(f"{word!r} has no value: say {name}=VALUE, such as {name}=64")
        if match is None:
            raise click.BadParameter(f"{text!r} is no whole number, such as 4096 or 8G")
        changes[name] = int(match[1]) * 1024 ** _POWERS[match[2].lower()]
    return replace(DEFAULT_LIMITS, **changes)

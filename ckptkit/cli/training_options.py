"""The options that all trainings have, whoever's they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ckptkit.cli.options import json_option

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_CLOCK = re.compile(r"(\d+):(\d\d)(?::(\d\d))?")


def _read_time(_ctx: click.Context, _param: click.Parameter, word: str | None) -> float | None:
    """Parse 90, 90s, 30m, 2h, or hours with minutes: 2:30, 2:30:00."""
    if word is None:
        return None
    if match := _TIME.fullmatch(word):
        seconds = float(match[1]) * _UNITS[match[2]]
    elif match := _CLOCK.fullmatch(word):
        seconds = 3600.0 * int(match[1]) + 60 * int(match[2]) + int(match[3] or 0)
    else:
        raise click.BadParameter(f"{word!r} is no time, such as 90s, 30m, 2h or 2:30:00")
    if seconds <= 0:
        raise click.BadParameter(f"{word!r} is no time to train in")
    return seconds


def _read_pairs(
    _ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]
) -> dict[str, str]:
    """Parse ``NAME=VALUE``."""
    pairs = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.strip():
            raise click.BadParameter(f"{word!r} is not NAME=VALUE, such as lr=0.001")
        pairs[name.strip()] = value.strip()
    return pairs


# fmt: off
SETTINGS = (
    click.option(
        "--config", "config_file", metavar="FILE", type=click.Path(),
        help="Settings from a .json, .toml or .yaml; options win over it."),
    click.option(
        "--set", "pairs", metavar="NAME=VALUE", multiple=True, callback=_read_pairs,
        help="One setting, as in --set lr=0.001. Repeatable."),
)
RESUMING = (
    click.option(
        "--force", is_flag=True,
        help="Go on although the architecture was changed."),
    click.option(
        "--allow-missing", multiple=True, metavar="GLOB",
        help="Names that the checkpoint may lack. Repeatable."),
    click.option(
        "--allow-unexpected", multiple=True, metavar="GLOB",
        help="Names that the trainer may lack. Repeatable."),
    click.option(
        "--self-test", is_flag=True,
        help="Compute something fixed before going on, and compare it to the bit."),
)
RUNNING = (
    click.option(
        "--max-time", "max_time_s", metavar="TIME", callback=_read_time,
        help="Save and leave in time, as in 90s, 30m, 2h; exit code 85."),
    click.option(
        "--dry-run", is_flag=True,
        help="Show the settings and what would be gone on from; train nothing."),
    json_option,
)
FRESH_OR_NOT = (
    click.option(
        "--resume", "resume", metavar="[WORD]", is_flag=False, flag_value="auto", multiple=True,
        help="Go on: auto, latest, best, never, the name of a run or of a checkpoint, a path. "
        "Alone: auto, which begins where there is nothing to go on from."),
    click.option(
        "--resume-from", metavar="WORD", help="The same, as some scripts call it."),
    click.option(
        "--checkpoint", metavar="WORD", help="The same, as others call it."),
)
# fmt: on


def params_of(*groups: Sequence[Callable[..., Any]]) -> list[click.Parameter]:
    """The click parameters of groups of options, in their order."""

    def nothing() -> None:
        pass

    call: Any = nothing
    for add in reversed([one for group in groups for one in group]):
        call = add(call)
    made: list[click.Parameter] = list(reversed(call.__click_params__))
    return made


def complete_trainers(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Names of trainers."""
    from ckptkit.hooks.manager import trainers

    return [one.name for one in trainers() if one.name.startswith(begun)]


def resume_word(params: dict[str, Any]) -> str | None:
    """What was said about going on, in whichever spelling. Raises: click.UsageError."""
    said = [*params.pop("resume"), params.pop("resume_from"), params.pop("checkpoint")]
    words = list(dict.fromkeys(word for word in said if word))
    if len(words) > 1 and "auto" in words:  # ``--resume --checkpoint PATH``: the path says more
        words.remove("auto")
    if len(words) > 1:
        raise click.UsageError(f"to go on from what: {' or '.join(words)}?")
    return words[0] if words else None

"""A config from stored settings, a file, single words and options; the last one wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from ckptkit.errors import SettingError
from ckptkit.protocols import Trainer
from ckptkit.training.kinds import UNREADABLE, read_value
from ckptkit.training.named import settings_class
from ckptkit.training.option import REQUIRED, Option, options_of


class Layer(NamedTuple):
    """Settings of one origin. ``where`` is how an error names it: a file, "--set", a trainer."""

    where: str
    values: Mapping[str, Any]


class Built(NamedTuple):
    """A config, and what a person should know of the stored settings that did not get into it."""

    config: Any
    notes: tuple[str, ...] = ()


def build(
    trainer: Trainer, layers: Sequence[Layer], *, stored: Layer | None = None,
    spec: str = "", what: str = "config",
) -> Built:  # fmt: skip
    """Build the dataclass ``spec`` of the trainer (its config) from the layers, weakest first.

    Raises: SettingError for a name that it has not, a value it cannot have, or one that is missing;
    TrainerError. Of ``stored`` settings what does not fit is told, and refused is none.
    """
    spec = spec or trainer.config
    options = {one.name: one for one in options_of(trainer, spec, what)}
    values, notes = _stored(trainer, options, stored)
    for layer in layers:
        values |= checked(trainer, options, layer)
    lacking = [o.flag for o in options.values() if o.default is REQUIRED and o.name not in values]
    if lacking:
        raise SettingError(
            f"trainer {trainer.name}", f"{', '.join(lacking)} must be given", "", "give a value"
        )
    try:
        return Built(settings_class(trainer, spec, what)(**values), tuple(notes))
    except (ValueError, TypeError) as exc:  # the dataclass looks at its values itself
        raise SettingError(f"trainer {trainer.name}", str(exc), "", "") from exc


def checked(trainer: Trainer, options: Mapping[str, Option], layer: Layer) -> dict[str, Any]:
    """Return the values of a layer by the names of settings. Raises: SettingError."""
    values = {}
    for key, value in layer.values.items():
        name = str(key).replace("-", "_")
        if name not in options:
            raise _unknown(trainer, options, layer.where, str(key))
        try:
            values[name] = read_value(options[name].kind, value)
        except UNREADABLE as exc:
            raise SettingError(
                layer.where, f"{name} is {_short(value)}", options[name].kind.title, ""
            ) from exc
    return values


def _unknown(trainer: Trainer, options: Iterable[str], where: str, name: str) -> SettingError:
    names = list(options)
    near = get_close_matches(name.replace("-", "_"), names, 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return SettingError(where, f"{name!r} is no setting of {trainer.name}", "", meant)


def _stored(
    trainer: Trainer, options: Mapping[str, Option], stored: Layer | None
) -> tuple[dict[str, Any], list[str]]:
    """Take over what still fits, and tell the rest."""
    values: dict[str, Any] = {}
    gone, unfit = [], []
    for name, value in stored.values.items() if stored else ():
        if name not in options:
            gone.append(f"{name}={_short(value)}")
            continue
        try:
            values[name] = read_value(options[name].kind, value)
        except UNREADABLE:
            unfit.append(f"{name}={_short(value)} (it is {options[name].kind.title} now)")
    notes = []
    where = stored.where if stored else ""
    if gone:
        notes.append(f"{where} has settings that {trainer.name} no longer has: {', '.join(gone)}")
    if unfit:
        notes.append(f"{where} has values that no longer fit: {', '.join(unfit)}")
    return values, notes


def _short(value: Any) -> str:
    told = ascii(value)
    return told if len(told) <= 60 else told[:57] + "..."

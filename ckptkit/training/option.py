"""One setting of a trainer as an option: its name, kind, default, help, choices and policy."""

from __future__ import annotations

import dataclasses
from shlex import quote
from typing import Any, NamedTuple, get_type_hints

from ckptkit.errors import TrainerError
from ckptkit.protocols import Trainer
from ckptkit.run.settings import POLICY_KEY, Policy
from ckptkit.training.kinds import Kind, kind_of
from ckptkit.training.named import settings_class


class _Required:
    def __repr__(self) -> str:
        return "(required)"


REQUIRED = _Required()  # the default of a setting that has none


class Option(NamedTuple):
    """One setting. ``default`` is ``REQUIRED`` where the dataclass has none."""

    name: str
    kind: Kind
    default: Any
    help: str = ""
    policy: Policy = "free"

    @property
    def flag(self) -> str:
        """How it is said on a command line."""
        return "--" + self.name.replace("_", "-")

    def words(self, value: Any) -> str:
        """How it is given a value on a command line."""
        if self.is_switch:
            return self.flag if value else f"--no-{self.flag[2:]}"
        if isinstance(value, (list, tuple)):
            value = ",".join(map(str, value))
        return f"{self.flag} {quote('none' if value is None else str(value))}"

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off, and takes no value."""
        return self.kind.base is bool and not self.kind.many and not self.kind.optional


def options_of(trainer: Trainer, spec: str, what: str = "config") -> tuple[Option, ...]:
    """List the settings of a dataclass, in its order. Raises: TrainerError; MissingExtraError."""
    cls = settings_class(trainer, spec, what)
    where = f"trainer {trainer.name}, {what} {spec}"
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError) as exc:
        raise TrainerError(where, f"its types cannot be read: {exc}", "types it imports") from exc
    fields = [one for one in dataclasses.fields(cls) if one.init]
    return tuple(_option(one, hints[one.name], where) for one in fields)


def _option(field: dataclasses.Field[Any], hint: Any, where: str) -> Option:
    told = field.metadata
    kind = kind_of(hint, tuple(told.get("choices", ())))
    if kind is None:
        raise TrainerError(
            where, f"its setting {field.name} is of the type {hint}",
            "int, float, bool, str, Path, Literal, one of these or None, or a tuple of one",
        )  # fmt: skip
    policy = told.get(POLICY_KEY, "free")
    if policy not in ("free", "architecture"):
        raise TrainerError(
            where, f"its setting {field.name} says {POLICY_KEY} is {policy!r}",
            '"free" or "architecture"',
        )  # fmt: skip
    return Option(field.name, kind, _default(field), str(told.get("help", "")), policy)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED

"""The types that a setting may have: how each is read from text, and what of JSON it takes."""

from __future__ import annotations

import json
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}
UNREADABLE = (ValueError, TypeError, OverflowError)  # what reading a value may raise
_NOTHING = ("none", "null", "")
_TITLES = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


class Kind(NamedTuple):
    """The type of a setting. ``length``: of a tuple, None if any. ``choices``: () if all."""

    base: type
    choices: tuple[Any, ...] = ()
    optional: bool = False
    many: bool = False
    length: int | None = None

    @property
    def title(self) -> str:
        """What a value has to be, in words."""
        told = _TITLES.get(self.base, "text")
        if self.choices:
            told = f"one of {', '.join(map(str, self.choices))}"
        if self.many:
            count = "several" if self.length is None else str(self.length)
            told = f"{count} with commas between, each {told}"
        return f"{told}, or none" if self.optional else told

    @property
    def metavar(self) -> str:
        """A word for its value in a help text."""
        word = {int: "INTEGER", float: "FLOAT", Path: "PATH", bool: "BOOLEAN"}.get(
            self.base, "TEXT"
        )
        return f"{word},..." if self.many else word


def kind_of(hint: Any, choices: tuple[Any, ...] = ()) -> Kind | None:
    """Return the kind of a type hint; None for a type that no option can have."""
    inner, optional = _without_none(hint)
    many, length = False, None
    if get_origin(inner) is tuple:
        items = [one for one in get_args(inner) if one is not Ellipsis]
        many, length = True, None if Ellipsis in get_args(inner) else len(items)
        if len(set(items)) != 1:
            return None
        inner = items[0]
    if get_origin(inner) is Literal:
        choices = get_args(inner)
        bases = {type(one) for one in choices}
        if len(bases) != 1:
            return None
        inner = bases.pop()
    if inner not in (int, float, bool, str, Path):
        return None
    return Kind(inner, choices, optional, many, length)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Take ``None`` out of ``X | None``."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    left = [one for one in get_args(hint) if one is not type(None)]
    return (left[0], True) if len(left) == 1 else (hint, False)


def read_value(kind: Kind, value: Any) -> Any:
    """Turn text, or a value of JSON or TOML, into one of this kind. Raises: ``UNREADABLE``."""
    if kind.optional and (value is None or (isinstance(value, str) and value.lower() in _NOTHING)):
        return None
    if kind.many:
        return _several(kind, value)
    return _one(kind, value)


def _several(kind: Kind, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = _divided(value)
    if not isinstance(value, Sequence):
        raise TypeError("no list")
    if kind.length is not None and len(value) != kind.length:
        raise ValueError(f"{len(value)} of them")
    return tuple(_one(kind, one) for one in value)


def _divided(text: str) -> Any:
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [one.strip() for one in text.split(",")] if text.strip() else []


def _one(kind: Kind, value: Any) -> Any:
    read = _CONVERTERS[kind.base](value)
    if kind.choices and read not in kind.choices:
        raise ValueError("no such choice")
    return read


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    raise ValueError("neither true nor false")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError("no whole number")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError("no number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _path(value: Any) -> Path:
    return Path(_text(value)) if not isinstance(value, Path) else value


_CONVERTERS: dict[type, Any] = {
    int: _integer, float: _number, bool: _boolean, str: _text, Path: _path,
}  # fmt: skip

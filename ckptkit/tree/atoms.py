"""Values that are known to the byte: their atoms, and the way back.

Nothing is imported to recognise a value: its class is compared by name with what is loaded.
Source: docs/format.md section "Atoms".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ckptkit.errors import MissingExtraError
from ckptkit.tree.numpy_atoms import parse_numpy_dtype, parse_numpy_scalar

Described = tuple[str, tuple[Any, ...]]  # kind and arguments, as live values
_TORCH_WORD = re.compile(r"[a-z][a-z0-9_]{0,40}")
_TORCH_KINDS = ("torch.dtype", "torch.layout", "torch.memory_format", "torch.qscheme")
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")


def describe(value: Any) -> Described | None:
    """Return the kind and arguments of the atom of ``value``; None if it has none."""
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    describer = _DESCRIBERS.get(f"{module}.{kind.__name__}")
    if describer is None:
        return None
    home = sys.modules.get(kind.__module__)
    if module != "builtins" and getattr(home, kind.__qualname__, None) is not kind:
        return None  # another class that bears the name
    return describer(value)


def _describe_bytearray(value: bytearray) -> Described:
    return "bytearray", (bytes(value),)


def _describe_span(value: Any) -> Described:
    return type(value).__name__, (value.start, value.stop, value.step)


def _describe_path(value: Any) -> Described:
    return type(value).__name__, (str(value),)


def _describe_date(value: Any) -> Described:
    return "date", (value.year, value.month, value.day)


def _describe_clock(value: Any) -> tuple[Any, ...]:
    return value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo


def _describe_datetime(value: Any) -> Described:
    day = (value.year, value.month, value.day)
    return "datetime", (*day, *_describe_clock(value))


def _describe_timezone(value: Any) -> Described:
    offset, name = (*value.__getinitargs__(), None)[:2]
    return "timezone", (offset, name)


def _describe_torch_word(value: Any) -> Described:
    return f"torch.{type(value).__name__}", (str(value).removeprefix("torch."),)


_DESCRIBERS: dict[str, Callable[[Any], Described | None]] = {
    "builtins.bytearray": _describe_bytearray,
    "builtins.slice": _describe_span,
    "builtins.range": _describe_span,
    "builtins.ellipsis": lambda _: ("ellipsis", ()),
    "builtins.NotImplementedType": lambda _: ("notimplemented", ()),
    "datetime.date": _describe_date,
    "datetime.datetime": _describe_datetime,
    "datetime.time": lambda value: ("time", _describe_clock(value)),
    "datetime.timedelta": lambda value: (
        "timedelta",
        (value.days, value.seconds, value.microseconds),
    ),
    "datetime.timezone": _describe_timezone,
    "zoneinfo.ZoneInfo": lambda value: (
        ("zoneinfo.ZoneInfo", (value.key,)) if value.key is not None else None
    ),
    "decimal.Decimal": lambda value: ("decimal", (str(value),)),
    "fractions.Fraction": lambda value: (
        "fraction",
        (value.numerator, value.denominator),
    ),
    "uuid.UUID": lambda value: ("uuid", (value.int,)),
    "torch.device": lambda value: (
        "torch.device",
        (value.type,) if value.index is None else (value.type, value.index),
    ),
    **{f"pathlib.{name}": _describe_path for name in _PATHS},
    **dict.fromkeys(_TORCH_KINDS, _describe_torch_word),
}


def rebuild(kind: str, args: tuple[Any, ...]) -> Any:
    """Make the value of an atom out of its arguments, which are live values already.

    Only constructors of the standard library, numpy and torch that are named here are called.
    Raises: KeyError for a kind that is none; MissingExtraError without numpy or torch; TypeError,
    ValueError, ArithmeticError or LookupError for arguments that do not fit.
    """
    rebuilder = _REBUILDERS.get(kind)
    if rebuilder is None:
        raise KeyError(kind)
    return rebuilder(*args)


def _from(module: str, name: str) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        return getattr(import_module(module), name)(*args)

    return make


def _rebuild_bytearray(content: bytes) -> bytearray:
    if type(content) is not bytes:
        raise TypeError("a bytearray of something that is no bytes")
    return bytearray(content)


def _rebuild_path(name: str) -> Callable[..., Any]:
    def make(text: str) -> Any:
        if type(text) is not str:
            raise TypeError("a path that is no string")
        pathlib = import_module("pathlib")
        concrete = getattr(pathlib, name)
        if issubclass(concrete, pathlib.Path) and type(pathlib.Path()) is not concrete:
            concrete = getattr(pathlib, f"Pure{name}")  # of the other system: only its text is ours
        return concrete(text)

    return make


def _rebuild_datetime(*args: Any) -> Any:
    *day_and_time, fold, zone = args
    return import_module("datetime").datetime(*day_and_time, zone, fold=fold)


def _rebuild_time(*args: Any) -> Any:
    *clock, fold, zone = args
    return import_module("datetime").time(*clock, zone, fold=fold)


def _rebuild_timezone(offset: Any, name: str | None) -> Any:
    timezone = import_module("datetime").timezone
    return timezone(offset) if name is None else timezone(offset, name)


def _rebuild_decimal(text: str) -> Any:
    if type(text) is not str:
        raise TypeError("a decimal that is no string")
    return import_module("decimal").Decimal(text)


def _rebuild_uuid(number: int) -> Any:
    return import_module("uuid").UUID(int=number)


def _torch() -> Any:
    try:
        return import_module("torch")
    except ImportError as exc:
        raise MissingExtraError(
            "torch", "a torch value, but torch is not installed", advice="pip install torch"
        ) from exc


def _rebuild_torch_word(kind: str) -> Callable[..., Any]:
    def make(word: str) -> Any:
        if type(word) is not str or not _TORCH_WORD.fullmatch(word):
            raise ValueError("a name that torch cannot have")
        torch = _torch()
        value = getattr(torch, word, None)
        if type(value) is not getattr(torch, kind.removeprefix("torch.")):
            raise ValueError(f"torch.{word} is no {kind}")
        return value

    return make


def _rebuild_device(name: str, index: int | None = None) -> Any:
    if type(name) is not str or (index is not None and type(index) is not int):
        raise TypeError("a device that is none")
    torch = _torch()
    return torch.device(name) if index is None else torch.device(name, index)


_REBUILDERS: dict[str, Callable[..., Any]] = {
    "bytearray": _rebuild_bytearray,
    "slice": slice,
    "range": range,
    "ellipsis": lambda: ...,
    "notimplemented": lambda: NotImplemented,
    "date": _from("datetime", "date"),
    "datetime": _rebuild_datetime,
    "time": _rebuild_time,
    "timedelta": _from("datetime", "timedelta"),
    "timezone": _rebuild_timezone,
    "zoneinfo.ZoneInfo": _from("zoneinfo", "ZoneInfo"),
    "decimal": _rebuild_decimal,
    "fraction": _from("fractions", "Fraction"),
    "uuid": _rebuild_uuid,
    "torch.device": _rebuild_device,
    "numpy.dtype": parse_numpy_dtype,
    "numpy.scalar": parse_numpy_scalar,
    **{name: _rebuild_path(name) for name in _PATHS},
    **{kind: _rebuild_torch_word(kind) for kind in _TORCH_KINDS},
}

"""Dates, exact numbers and devices: small values whose pickles have one exact form each."""

from __future__ import annotations

import re

from ckptkit.containers.pickle_machine import Machine
from ckptkit.containers.rebuild_builtin import raw_bytes
from ckptkit.nodes import Atom, Node, SeqNode

MAX_NUMBER_CHARS = 4_300  # as Python limits decimal text

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(Infinity|s?NaN\d*)")
_FRACTION = re.compile(r"([+-]?\d+)(?:/(\d+))?")


def _split(vm: Machine, args: list[Node], nbytes: int) -> tuple[bytes, Node] | None:
    """The packed fields and the time zone of ``cls(packed[, tz])``."""
    raw = raw_bytes(vm, args[0]) if len(args) in (1, 2) else None
    if raw is None or len(raw) != nbytes:
        return None
    zone = args[1] if len(args) == 2 else None
    return (raw, zone) if zone is None or not isinstance(zone, (str, bytes, int, float)) else None


def date_time(vm: Machine, args: list[Node]) -> Node:
    """``datetime(packed[, tz])``, packed in 10 bytes; the fold is the month's highest bit."""
    found = _split(vm, args, 10)
    if found is None:
        return NotImplemented
    raw, zone = found
    month, fold = raw[2] & 127, raw[2] >> 7
    year, micros = raw[0] * 256 + raw[1], int.from_bytes(raw[7:10], "big")
    if not _is_date(year, month, raw[3]) or not _is_time(raw[4], raw[5], raw[6], micros):
        return NotImplemented
    return Atom("datetime", (year, month, raw[3], raw[4], raw[5], raw[6], micros, fold, zone))


def date(vm: Machine, args: list[Node]) -> Node:
    """``date(packed)``, packed in 4 bytes."""
    found = _split(vm, args, 4) if len(args) == 1 else None
    if found is None:
        return NotImplemented
    raw = found[0]
    fields = (raw[0] * 256 + raw[1], raw[2], raw[3])
    return Atom("date", fields) if _is_date(*fields) else NotImplemented


def time(vm: Machine, args: list[Node]) -> Node:
    """``time(packed[, tz])``, packed in 6 bytes; the fold is the hour's highest bit."""
    found = _split(vm, args, 6)
    if found is None:
        return NotImplemented
    raw, zone = found
    hour, fold, micros = raw[0] & 127, raw[0] >> 7, int.from_bytes(raw[3:6], "big")
    if not _is_time(hour, raw[1], raw[2], micros):
        return NotImplemented
    return Atom("time", (hour, raw[1], raw[2], micros, fold, zone))


def _is_date(year: int, month: int, day: int) -> bool:
    return 1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= 31


def _is_time(hour: int, minute: int, second: int, micros: int) -> bool:
    return hour < 24 and minute < 60 and second < 60 and micros < 1_000_000


def time_zone(vm: Machine, args: list[Node]) -> Node:  # noqa: ARG001
    """``timezone(offset[, name])``."""
    name = args[1] if len(args) == 2 else None
    offset = args[0] if len(args) in (1, 2) else None
    if (
        type(offset) is not Atom
        or offset.kind != "timedelta"
        or not isinstance(name, (str, type(None)))
    ):
        return NotImplemented
    return Atom("timezone", (offset, name))


def zone_info(vm: Machine, args: list[Node]) -> Node:  # noqa: ARG001
    """``ZoneInfo._unpickle(key, from_cache)``; one that asks for no cache stays a record."""
    if len(args) == 2 and type(args[0]) is str and len(args[0]) < 256 and args[1] in (1, True):
        return Atom("zoneinfo.ZoneInfo", (args[0],))
    return NotImplemented


def decimal(vm: Machine, args: list[Node]) -> Node:  # noqa: ARG001
    """``Decimal('1.5')``."""
    text = args[0] if len(args) == 1 else None
    if type(text) is str and len(text) <= MAX_NUMBER_CHARS and _DECIMAL.fullmatch(text):
        return Atom("decimal", (text,))
    return NotImplemented


def fraction(vm: Machine, args: list[Node]) -> Node:  # noqa: ARG001
    """``Fraction('1/3')`` or ``Fraction(1, 3)``."""
    if len(args) == 2 and all(type(arg) is int for arg in args) and args[1] > 0:
        return Atom("fraction", (args[0], args[1]))
    text = args[0] if len(args) == 1 else None
    match = (
        _FRACTION.fullmatch(text) if type(text) is str and len(text) <= MAX_NUMBER_CHARS else None
    )
    if match is None or int(match[2] or 1) == 0:
        return NotImplemented
    return Atom("fraction", (int(match[1]), int(match[2] or 1)))


def device(vm: Machine, args: list[Node]) -> Node:  # noqa: ARG001
    """``torch.device(type[, index])``."""
    if not 1 <= len(args) <= 2 or type(args[0]) is not str:
        return NotImplemented
    if len(args) == 2 and (type(args[1]) is not int or not -1 <= args[1] < 1 << 15):
        return NotImplemented
    return Atom("torch.device", tuple(args))


def layout(vm: Machine, args: list[Node]) -> Node:  # noqa: ARG001
    """``torch.serialization._get_layout('torch.sparse_coo')``."""
    text = args[0] if len(args) == 1 else None
    if type(text) is str and re.fullmatch(r"torch\.[a-z_]{1,40}", text):
        return Atom("torch.layout", (text[6:],))
    return NotImplemented


def size(vm: Machine, args: list[Node]) -> Node:
    """``torch.Size(sizes)``."""
    items = args[0].items if len(args) == 1 and type(args[0]) is SeqNode else None
    if items is None:
        return SeqNode([], "torch.Size") if not args else NotImplemented
    if any(type(item) is not int for item in items):
        return NotImplemented
    vm.spend(len(items) // 8)
    return SeqNode(list(items), "torch.Size")

"""Opcodes that push None, a bool or a number, and how opcodes take their arguments."""

from __future__ import annotations

import re
from struct import Struct

from ckptkit.containers.pickle_machine import Machine, Op
from ckptkit.errors import LimitExceededError
from ckptkit.nodes import Node

_U16, _U32, _I32 = Struct("<H").unpack_from, Struct("<I").unpack_from, Struct("<i").unpack_from
_U64, _F64 = Struct("<Q").unpack_from, Struct(">d").unpack_from

MAX_FLOAT_CHARS = 4_096  # of a decimal float; the longest exact double has under 1,100
_INT = re.compile(rb"\s*[+-]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0+|[1-9][0-9]*)\s*")
_FLOAT = re.compile(
    rb"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf|infinity|nan)\s*", re.IGNORECASE
)


def read_line(vm: Machine, pos: int, what: str) -> tuple[bytes, int]:
    """The line at ``pos`` without its newline, and the offset after it."""
    stop = vm.data.find(b"\n", pos)
    if stop < 0:
        vm.at = pos
        vm.refuse_short(what)
    return vm.data[pos:stop], stop + 1


def parse_int(vm: Machine, line: bytes, pos: int) -> int:
    """An integer as protocol 0 writes it; refuses more digits than Python itself would print."""
    vm.at = pos
    if len(line) > vm.limits.max_int_digits:
        vm.refuse(
            f"a decimal integer of {len(line)} digits", f"at most {vm.limits.max_int_digits}",
            LimitExceededError,
        )  # fmt: skip
    if not _INT.fullmatch(line):
        vm.refuse("a number that is none", "a decimal integer")
    return int(line, 0)


def _push_constant(value: Node) -> Op:
    def push(vm: Machine, pos: int) -> int:
        vm.stack.append(value)
        return pos

    return push


def _bin_int(vm: Machine, pos: int) -> int:
    vm.stack.append(_I32(vm.data, pos)[0])
    return pos + 4


def _bin_int_1(vm: Machine, pos: int) -> int:
    vm.stack.append(vm.data[pos])
    return pos + 1


def _bin_int_2(vm: Machine, pos: int) -> int:
    vm.stack.append(_U16(vm.data, pos)[0])
    return pos + 2


def _bin_float(vm: Machine, pos: int) -> int:
    vm.stack.append(_F64(vm.data, pos)[0])
    return pos + 8


def _int(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "an INT")
    if line in (b"00", b"01"):  # how protocols 0 and 1 write booleans
        vm.stack.append(line == b"01")
    else:
        vm.stack.append(parse_int(vm, line, pos))
    return after


def _long(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "a LONG")
    vm.stack.append(parse_int(vm, line.removesuffix(b"L"), pos))
    return after


def _float(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "a FLOAT")
    if len(line) > MAX_FLOAT_CHARS or not _FLOAT.fullmatch(line):
        vm.at = pos
        vm.refuse("a number that is none", "a decimal float")
    vm.stack.append(float(line))
    return after


def take(vm: Machine, start: int, nbytes: int, what: str) -> bytes:
    """``nbytes`` of the stream; the promise is checked before anything is copied."""
    if start + nbytes > vm.end:
        vm.at = start
        vm.refuse_short(f"{what} of {nbytes:#x} bytes")
    return vm.data[start : start + nbytes]


def _long_1(vm: Machine, pos: int) -> int:
    nbytes = vm.data[pos]
    vm.stack.append(int.from_bytes(take(vm, pos + 1, nbytes, "a LONG1"), "little", signed=True))
    return pos + 1 + nbytes


def _long_4(vm: Machine, pos: int) -> int:
    nbytes: int = _I32(vm.data, pos)[0]
    if nbytes < 0:
        vm.at = pos
        vm.refuse("a LONG4 of negative length")
    vm.stack.append(int.from_bytes(take(vm, pos + 4, nbytes, "a LONG4"), "little", signed=True))
    return pos + 4 + nbytes


NUMBER_OPS: dict[int, Op] = {
    ord("N"): _push_constant(None),
    0x88: _push_constant(True),
    0x89: _push_constant(False),
    ord("J"): _bin_int,
    ord("K"): _bin_int_1,
    ord("M"): _bin_int_2,
    ord("G"): _bin_float,
    ord("I"): _int,
    ord("L"): _long,
    ord("F"): _float,
    0x8A: _long_1,
    0x8B: _long_4,
}

"""Opcodes that push one plain value: numbers, strings and bytes of protocols 0 to 5."""

from __future__ import annotations

import re
from struct import Struct

from ckptkit.containers.pickle_machine import Machine, Op
from ckptkit.errors import LimitExceededError
from ckptkit.nodes import Atom, Node

_U16, _U32, _I32 = Struct("<H").unpack_from, Struct("<I").unpack_from, Struct("<i").unpack_from
_U64, _F64 = Struct("<Q").unpack_from, Struct(">d").unpack_from

MAX_FLOAT_CHARS = 4_096  # of a decimal float; the longest exact double has under 1,100
_INT = re.compile(rb"\s*[+-]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0+|[1-9][0-9]*)\s*")
_FLOAT = re.compile(
    rb"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf|infinity|nan)\s*", re.IGNORECASE
)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)?", re.DOTALL)
_PLAIN_ESCAPES = {
    b"\\": b"\\", b"'": b"'", b'"': b'"', b"a": b"\a", b"b": b"\b", b"f": b"\f",
    b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\n": b"",
}  # fmt: skip


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


def _take(vm: Machine, start: int, nbytes: int, what: str) -> bytes:
    """``nbytes`` of the stream; the promise is checked before anything is copied."""
    if start + nbytes > vm.end:
        vm.at = start
        vm.refuse_short(f"{what} of {nbytes:#x} bytes")
    return vm.data[start : start + nbytes]


def _long_1(vm: Machine, pos: int) -> int:
    nbytes = vm.data[pos]
    vm.stack.append(int.from_bytes(_take(vm, pos + 1, nbytes, "a LONG1"), "little", signed=True))
    return pos + 1 + nbytes


def _long_4(vm: Machine, pos: int) -> int:
    nbytes: int = _I32(vm.data, pos)[0]
    if nbytes < 0:
        vm.at = pos
        vm.refuse("a LONG4 of negative length")
    vm.stack.append(int.from_bytes(_take(vm, pos + 4, nbytes, "a LONG4"), "little", signed=True))
    return pos + 4 + nbytes


# -- text ------------------------------------------------------------------------------------------


def _push_text(vm: Machine, raw: bytes, pos: int) -> None:
    try:
        text = str(raw, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        vm.at = pos
        vm.refuse("a text that is not UTF-8")
    vm.stack.append(text)
    if raw[:1] == b"\xc2" and raw[1:2] == b"\x80":  # U+0080: a pickle kept as latin-1 text
        _embed_text(vm, text, pos)


def _embed_text(vm: Machine, text: str, pos: int) -> None:
    try:
        vm.tracer.embed(pos, text.encode("latin-1"))
    except UnicodeEncodeError:
        return  # not bytes in disguise


def _bin_unicode(vm: Machine, pos: int) -> int:
    start = pos + 4
    stop: int = start + _U32(vm.data, pos)[0]
    if stop > vm.end:
        _take(vm, start, stop - start, "a text")
    _push_text(vm, vm.data[start:stop], pos)
    return stop


def _short_bin_unicode(vm: Machine, pos: int) -> int:
    stop = pos + 1 + vm.data[pos]
    if stop > vm.end:
        _take(vm, pos + 1, stop - pos - 1, "a text")
    _push_text(vm, vm.data[pos + 1 : stop], pos)
    return stop


def _bin_unicode_8(vm: Machine, pos: int) -> int:
    nbytes: int = _U64(vm.data, pos)[0]
    _push_text(vm, _take(vm, pos + 8, nbytes, "a text"), pos)
    return pos + 8 + nbytes


def _unicode(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "a UNICODE")
    try:
        vm.stack.append(str(line, "raw-unicode-escape"))
    except UnicodeDecodeError:
        vm.at = pos
        vm.refuse("a text with a broken \\u escape")
    return after


def _push_old_string(vm: Machine, raw: bytes) -> None:
    """Push a Python 2 ``str``: UTF-8 text where it is that, else latin-1, which loses nothing.

    Raw array bytes may be UTF-8 by accident, so the bytes stay beside such a text.
    """
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        text = str(raw, "latin-1")
    else:
        if not raw.isascii():
            vm.raw_strings[id(text)] = (text, raw)
    vm.stack.append(text)
    _notice_pickle(vm, raw)


def _unescape(vm: Machine, pos: int, body: bytes) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code is None or code == b"x":
            vm.at = pos
            vm.refuse("a string with a broken escape")
        if code[:1] == b"x" and len(code) == 3:
            return bytes((int(code[1:], 16),))
        if code[:1].isdigit() and code[:1] < b"8":
            return bytes((int(code, 8) & 255,))
        return _PLAIN_ESCAPES.get(code, b"\\" + code)

    return _ESCAPE.sub(one, body)


def _string(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "a STRING")
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
        vm.at = pos
        vm.refuse("a STRING without its quotes")
    _push_old_string(vm, _unescape(vm, pos, line[1:-1]))
    return after


def _bin_string(vm: Machine, pos: int) -> int:
    nbytes: int = _I32(vm.data, pos)[0]
    if nbytes < 0:
        vm.at = pos
        vm.refuse("a BINSTRING of negative length")
    _push_old_string(vm, _take(vm, pos + 4, nbytes, "a string"))
    return pos + 4 + nbytes


def _short_bin_string(vm: Machine, pos: int) -> int:
    nbytes = vm.data[pos]
    _push_old_string(vm, _take(vm, pos + 1, nbytes, "a string"))
    return pos + 1 + nbytes


# -- bytes -----------------------------------------------------------------------------------------


def _notice_pickle(vm: Machine, raw: bytes) -> None:
    if len(raw) > 4 and looks_like_pickle(raw):
        vm.tracer.embed(vm.at, raw)


_TEXT_PICKLE = re.compile(rb"\(?[dl(]?[ci][A-Za-z_][\w.]{0,200}\n[A-Za-z_][\w.]{0,200}\n")


def looks_like_pickle(raw: bytes) -> bool:
    """Whether the first bytes are those of a pickle (or of a zip, which may hold one)."""
    if raw[:1] == b"\x80":
        return 2 <= raw[1] <= 5
    return raw[:4] == b"PK\x03\x04" or _TEXT_PICKLE.match(raw) is not None


def _push_bytes(vm: Machine, pos: int, start: int, nbytes: int) -> int:
    raw = _take(vm, start, nbytes, "a byte string")
    vm.stack.append(raw)
    vm.at = pos
    _notice_pickle(vm, raw)
    return start + nbytes


def _bin_bytes(vm: Machine, pos: int) -> int:
    return _push_bytes(vm, pos, pos + 4, _U32(vm.data, pos)[0])


def _short_bin_bytes(vm: Machine, pos: int) -> int:
    return _push_bytes(vm, pos, pos + 1, vm.data[pos])


def _bin_bytes_8(vm: Machine, pos: int) -> int:
    return _push_bytes(vm, pos, pos + 8, _U64(vm.data, pos)[0])


def _bytearray_8(vm: Machine, pos: int) -> int:
    after = _push_bytes(vm, pos, pos + 8, _U64(vm.data, pos)[0])
    vm.spend()
    vm.stack[-1] = Atom("bytearray", (vm.stack[-1],))
    return after


def _next_buffer(vm: Machine, pos: int) -> int:
    vm.at = pos
    return vm.refuse("an out-of-band buffer, which no file carries", "every buffer in the stream")


def _readonly_buffer(vm: Machine, pos: int) -> int:
    if type(vm.stack[-1]) is not bytes:
        vm.at = pos
        vm.refuse("READONLY_BUFFER on something that is no bytes object")
    return pos


SCALAR_OPS: dict[int, Op] = {
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
    ord("X"): _bin_unicode,
    0x8C: _short_bin_unicode,
    0x8D: _bin_unicode_8,
    ord("V"): _unicode,
    ord("S"): _string,
    ord("T"): _bin_string,
    ord("U"): _short_bin_string,
    ord("B"): _bin_bytes,
    ord("C"): _short_bin_bytes,
    0x8E: _bin_bytes_8,
    0x96: _bytearray_8,
    0x97: _next_buffer,
    0x98: _readonly_buffer,
}

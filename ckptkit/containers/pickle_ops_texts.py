"""Opcodes that push texts and byte strings, of every age of Python."""

from __future__ import annotations

import re
from codecs import raw_unicode_escape_decode
from struct import Struct

from ckptkit.containers.pickle_machine import Machine, Op
from ckptkit.containers.pickle_ops_numbers import read_line, take
from ckptkit.nodes import Atom

_U32, _I32 = Struct("<I").unpack_from, Struct("<i").unpack_from
_U64 = Struct("<Q").unpack_from

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)?", re.DOTALL)
_PLAIN_ESCAPES = {
    b"\\": b"\\", b"'": b"'", b'"': b'"', b"a": b"\a", b"b": b"\b", b"f": b"\f",
    b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\n": b"",
}  # fmt: skip


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
        take(vm, start, stop - start, "a text")
    _push_text(vm, vm.data[start:stop], pos)
    return stop


def _short_bin_unicode(vm: Machine, pos: int) -> int:
    stop = pos + 1 + vm.data[pos]
    if stop > vm.end:
        take(vm, pos + 1, stop - pos - 1, "a text")
    _push_text(vm, vm.data[pos + 1 : stop], pos)
    return stop


def _bin_unicode_8(vm: Machine, pos: int) -> int:
    nbytes: int = _U64(vm.data, pos)[0]
    _push_text(vm, take(vm, pos + 8, nbytes, "a text"), pos)
    return pos + 8 + nbytes


def _unicode(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "a UNICODE")
    try:
        # By its function: the name of a codec would be imported while a file is read.
        vm.stack.append(raw_unicode_escape_decode(line)[0])
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
    _push_old_string(vm, take(vm, pos + 4, nbytes, "a string"))
    return pos + 4 + nbytes


def _short_bin_string(vm: Machine, pos: int) -> int:
    nbytes = vm.data[pos]
    _push_old_string(vm, take(vm, pos + 1, nbytes, "a string"))
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
    raw = take(vm, start, nbytes, "a byte string")
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


TEXT_OPS: dict[int, Op] = {
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

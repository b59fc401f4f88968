"""numpy dtypes as data: from the parts of their pickles to one canonical text."""

from __future__ import annotations

import re
from typing import NamedTuple

from ckptkit.containers.pickle_machine import Machine
from ckptkit.errors import LimitExceededError
from ckptkit.nodes import Atom, MapNode, Node, SeqNode

MAX_DTYPE_CHARS = 65_536  # structured dtypes share parts; their text must not explode
SHORT_DTYPE_CHARS = 512  # longer ones count as bytes that a call made
MAX_ITEM_NBYTES = (1 << 31) - 1  # numpy's own limit for the size of one item

_CODE = re.compile(r"([<>|=]?)([a-zA-Z?])(\d{0,10})")
_LETTERS = {
    "?": ("b", 1), "b": ("i", 1), "B": ("u", 1), "h": ("i", 2), "H": ("u", 2), "i": ("i", 4),
    "I": ("u", 4), "l": ("i", 8), "L": ("u", 8), "q": ("i", 8), "Q": ("u", 8), "e": ("f", 2),
    "f": ("f", 4), "d": ("f", 8), "F": ("c", 8), "D": ("c", 16), "O": ("O", 8),
    "M": ("M", 8), "m": ("m", 8), "S": ("S", 0), "U": ("U", 0), "V": ("V", 0),
}  # fmt: skip
_SIZED = {
    "b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8, 12, 16),
    "c": (8, 16, 24, 32), "O": (4, 8), "M": (8,), "m": (8,),
}  # fmt: skip
_UNITS = frozenset(("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"))


class NumpyDtype(NamedTuple):
    """What matters of a dtype. ``text`` is what ``numpy.dtype`` takes (a literal for structured).

    ``kind`` is numpy's own letter; ``shape`` that of a subarray dtype, else ().
    """

    kind: str
    nbytes: int
    order: str
    text: str
    has_object: bool = False
    shape: tuple[int, ...] = ()


def parse_code(code: str) -> NumpyDtype | None:
    """Read a code such as ``<f4`` or ``U3``; None for one that is unknown."""
    match = _CODE.fullmatch(code)
    if match is None:
        return None
    order, letter, digits = match.groups()
    if digits and letter in "biufcOMmSUV":
        size = int(digits)
        kind, nbytes = letter, size * 4 if letter == "U" else size
        if kind in _SIZED and nbytes not in _SIZED[kind]:
            return None
    elif not digits and letter in _LETTERS:
        kind, nbytes = _LETTERS[letter]
    else:
        return None
    if nbytes > MAX_ITEM_NBYTES:
        return None
    return _plain(kind, nbytes, order or "<")


def _plain(kind: str, nbytes: int, order: str, unit: str = "") -> NumpyDtype:
    if kind in "SVO" or (nbytes == 1 and kind in "biu"):
        order = "|"
    elif order != ">":
        order = "<"
    size = "" if kind == "O" else str(nbytes // 4 if kind == "U" else nbytes)
    return NumpyDtype(kind, nbytes, order, f"{order}{kind}{size}{unit}", has_object=kind == "O")


def note_dtype(vm: Machine, info: NumpyDtype) -> Atom:
    """The atom of a dtype, with its facts kept beside it for arrays and BUILD."""
    atom = Atom("numpy.dtype", (info.text,))
    vm.dtypes[id(atom)] = (atom, info)
    return atom


def info_of(vm: Machine, node: Node) -> NumpyDtype | None:
    """The facts of a dtype that this stream made; None for anything else."""
    found = vm.dtypes.get(id(node))
    return found[1] if found is not None and isinstance(found[1], NumpyDtype) else None


def rebuild_dtype(vm: Machine, args: list[Node]) -> Node:
    """``numpy.dtype(code[, align[, copy]])``."""
    if not 1 <= len(args) <= 3 or type(args[0]) is not str:
        return NotImplemented
    info = parse_code(args[0])
    return NotImplemented if info is None else note_dtype(vm, info)


def build_dtype(vm: Machine, atom: Atom, state: Node) -> None:
    """BUILD with ``(version, order, subarray, names, fields, size, alignment, flags, ...)``."""
    info = info_of(vm, atom)
    parts = state.items if type(state) is SeqNode else []
    if info is None or not 7 <= len(parts) <= 9 or parts[0] not in (2, 3, 4):
        vm.refuse("a numpy dtype with a state of an unknown form")
    order, subarray, names, fields, nbytes = parts[1:6]
    if order not in ("<", ">", "|", "="):
        vm.refuse("a numpy dtype with an unknown byte order")
    if subarray is not None:
        info = _subarray(vm, subarray)
    elif names is not None:
        info = _structured(vm, names, fields, nbytes)
    elif info.kind in "SUV" and type(nbytes) is int and nbytes >= 0 and nbytes != info.nbytes:
        vm.refuse("a numpy dtype of two sizes")
    else:
        info = _plain(info.kind, info.nbytes, order, _unit(vm, info, parts))
    if len(info.text) > MAX_DTYPE_CHARS:
        vm.refuse("a numpy dtype of too many fields", f"{MAX_DTYPE_CHARS}", LimitExceededError)
    if len(info.text) > SHORT_DTYPE_CHARS:
        vm.charge(4 * len(info.text))
    atom.args = (info.text,)
    vm.dtypes[id(atom)] = (atom, info)


def _unit(vm: Machine, info: NumpyDtype, parts: list[Node]) -> str:
    """The unit of a datetime64 or timedelta64, such as ``[ns]`` or ``[25s]``."""
    extra = parts[8] if len(parts) == 9 else None
    if info.kind not in "Mm" or type(extra) is not SeqNode or len(extra.items) != 2:
        return ""
    unit = extra.items[1].items if type(extra.items[1]) is SeqNode else []
    name = unit[0] if len(unit) in (3, 4) else None
    if type(name) is bytes:
        name = str(name, "latin-1")
    if name == "generic":
        return ""
    count = unit[1] if name in _UNITS else 0
    if type(count) is not int or not 0 < count < 1 << 31:
        vm.refuse("a numpy date of an unknown unit")
    return f"[{count}{name}]" if count != 1 else f"[{name}]"


def _subarray(vm: Machine, subarray: Node) -> NumpyDtype:
    parts = subarray.items if type(subarray) is SeqNode else []
    base = info_of(vm, parts[0]) if len(parts) == 2 else None
    if base is None:
        vm.refuse("a numpy subarray dtype of an unknown form")
    sizes = parts[1].items if type(parts[1]) is SeqNode else [parts[1]]
    numel = 1
    for size in sizes:
        if type(size) is not int or not 0 <= size <= MAX_ITEM_NBYTES:
            vm.refuse("a numpy subarray of an impossible shape")
        numel *= size
        if numel * max(base.nbytes, 1) > MAX_ITEM_NBYTES:
            vm.refuse("a numpy subarray of an impossible shape")
    shape = "".join(f"{size}, " for size in sizes)
    text = f"({_literal(base)}, ({shape}))"
    return NumpyDtype("V", numel * base.nbytes, "|", text, base.has_object, tuple(sizes))


def _literal(info: NumpyDtype) -> str:
    return info.text if info.text[0] in "({" else repr(info.text)


def _structured(vm: Machine, names: Node, fields: Node, nbytes: Node) -> NumpyDtype:
    if type(names) is not SeqNode or type(fields) is not MapNode or type(nbytes) is not int:
        vm.refuse("a structured numpy dtype of an unknown form")
    if not 0 <= nbytes <= MAX_ITEM_NBYTES:
        vm.refuse("a structured numpy dtype of an impossible size")
    formats, offsets, n_chars, has_object = [], [], 0, False
    for name in names.items:
        place = fields.get(name) if type(name) is str else None
        parts = place.items if type(place) is SeqNode and len(place.items) in (2, 3) else [None, 0]
        info, offset = info_of(vm, parts[0]), parts[1]
        if info is None or type(offset) is not int or not 0 <= offset <= nbytes - info.nbytes:
            vm.refuse("a numpy field that leaves its item")
        has_object |= info.has_object
        formats.append(_literal(info))
        offsets.append(offset)
        n_chars += len(formats[-1]) + len(name)
        if n_chars > MAX_DTYPE_CHARS:
            vm.refuse("a numpy dtype of too many fields", f"{MAX_DTYPE_CHARS}", LimitExceededError)
    text = (
        f"{{'names': {names.items!r}, 'formats': [{', '.join(formats)}], "
        f"'offsets': {offsets!r}, 'itemsize': {nbytes}}}"
    )
    return NumpyDtype("V", nbytes, "|", text, has_object)

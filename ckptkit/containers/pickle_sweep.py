"""The dangerous names in the bytes of a broken pickle, found without following its opcodes.

Another unpickler may read on where ours refuses, so what lies behind a breakage is not silent.
Only exact dangerous names count: chance bytes never spell one between two newlines.
"""

from __future__ import annotations

import re
from itertools import pairwise

from ckptkit.containers.trace import Tracer
from ckptkit.danger import classify, is_stdlib
from ckptkit.danger_names import DANGEROUS_PACKAGES, TELLTALE_NAMES

MAX_SWEPT_NBYTES = 64 << 20
_MAX_FOUND = 10_000

_BY_LINES = re.compile(rb"[ci]([A-Za-z_][\w.]{0,200})\n([A-Za-z_][\w.]{0,200})\n")
_TEXT = re.compile(rb"(?:\x8c(.)|X(.)\0\0\0|\x8d(.)\0{7})([A-Za-z_][\w.]{0,200})", re.DOTALL)
_STACK_GLOBAL = b"\x93"
_CERTAIN = TELLTALE_NAMES | {
    "getattr",
    "setattr",
    "compile",
    "open",
    "run",
    "call",
    "loads",
    "load",
}


def sweep(data: bytes, start: int, tracer: Tracer) -> None:
    """Give ``tracer`` every dangerous name that it has not met yet."""
    data = data[start : start + MAX_SWEPT_NBYTES]
    for module, qualname, offset in (*_named_by_lines(data), *_named_by_texts(data)):
        if (module, qualname) in tracer.uses:
            continue
        if classify(module, qualname).level == "dangerous":
            tracer.meet(module, qualname, start + offset)
            tracer.notice("warning", "behind-a-breakage", f"{module}.{qualname} in a broken pickle")


def _named_by_lines(data: bytes) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    position = 0
    while len(found) < _MAX_FOUND:
        match = _BY_LINES.search(data, position)
        if match is None:
            break
        found.append((match[1].decode(), match[2].decode(), match.start()))
        position = match.start() + 1  # the first letter may belong to the name before it
    return found


def _named_by_texts(data: bytes) -> list[tuple[str, str, int]]:
    """Pairs of texts for STACK_GLOBAL: neighbours, or a certain name with a dangerous module."""
    if _STACK_GLOBAL not in data:
        return []
    texts: list[tuple[str, int]] = []
    position = 0
    while len(texts) < _MAX_FOUND:
        match = _TEXT.search(data, position)
        if match is None:
            break
        position = match.start() + 1  # what follows a text may look like a part of it
        length = (match[1] or match[2] or match[3])[0]
        if length <= len(match[4]):
            texts.append((match[4][:length].decode(), match.start()))
            position = match.start(4) + length
    pairs = [(one[0], two[0], one[1]) for one, two in pairwise(texts)]
    modules = {text: offset for text, offset in texts if _is_dangerous_module(text)}
    names = {text for text, _ in texts if text in _CERTAIN}
    pairs += [(module, name, at) for module, at in modules.items() for name in names]
    return [pair for pair in pairs if _is_dangerous_module(pair[0])]


def _is_dangerous_module(text: str) -> bool:
    return is_stdlib(text) or text.partition(".")[0] in DANGEROUS_PACKAGES

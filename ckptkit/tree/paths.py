"""The printed form of a place in a tree: one line, safe on any terminal."""

from __future__ import annotations

from ckptkit.nodes import Atom, GlobalName, Node, Path, Record, SeqNode

_MAX_KEY_CHARS = 200
_MAX_NESTED = 4  # levels of a compound key that are spelled out


def path_text(path: Path) -> str:
    """Print ``path`` as ``optimizer/state/1/exp_avg``; the root is ``/``.

    A slash or a backslash inside a key gets a backslash; what does not print (control
    characters, terminal escapes, bidirectional marks, surrogates) its escape. Two paths can
    share a text (``7`` and ``"7"``): it is for people, not a key.
    """
    return "/".join(key_text(key) for key in path) or "/"


def key_text(key: Node) -> str:
    """Print one step of a path."""
    text = escape_text(key, "/") or "''" if type(key) is str else _other_text(key, 0)
    return text if len(text) <= _MAX_KEY_CHARS else text[:_MAX_KEY_CHARS] + "…"


def escape_text(text: str, also: str = "") -> str:
    """Replace what a terminal could act on; the characters of ``also`` get a backslash."""
    plain = text.isascii() and text.isprintable() and "\\" not in text
    if plain and not any(char in text for char in also):
        return text
    return "".join(_escape_char(char, also) for char in text)


def _escape_char(char: str, also: str) -> str:
    if char == "\\" or char in also:
        return "\\" + char
    if char.isprintable():
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _other_text(key: Node, depth: int) -> str:
    """Print a key that is no plain string; nested strings are quoted."""
    if type(key) is str:
        return "'" + escape_text(key, "/'") + "'"
    if type(key) is int and key.bit_length() > 256:
        return f"<integer of {key.bit_length()} bits>"
    if type(key) is bytes:
        return repr(key[:_MAX_KEY_CHARS]).replace("/", "\\/")
    if key is None or type(key) in (bool, int, float, complex):
        return repr(key)
    if type(key) is GlobalName:
        return escape_text(key.text, "/")
    if type(key) is SeqNode and depth < _MAX_NESTED:
        inside = ", ".join(_other_text(item, depth + 1) for item in key.items[:8])
        more = ", …" if len(key.items) > 8 else ""
        return f"({inside}{more})" if key.kind == "tuple" else f"{key.kind}({inside}{more})"
    if type(key) is Atom and depth < _MAX_NESTED:
        inside = ", ".join(_other_text(arg, depth + 1) for arg in key.args[:8])
        return f"{escape_text(key.kind, '/')}({inside})"
    if isinstance(key, Record):
        return f"<{escape_text(key.name.text, '/')}>"
    return f"<{type(key).__name__}>"

"""Text from a file, made safe for a terminal."""

from __future__ import annotations


def safe(text: object) -> str:
    """Escape everything that a terminal would act upon: controls, bidi marks, lone surrogates.

    What Python calls printable stays as it is; the result has no newline and no tab.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(char if char.isprintable() else _escaped(char) for char in plain)


def shortened(text: str, width: int) -> str:
    """At most ``width`` characters, with an ellipsis in the middle where some were left out."""
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"


def _escaped(char: str) -> str:
    code = ord(char)
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

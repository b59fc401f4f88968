r"""Families of names: literal text with groups in parentheses, and the name that they become.

``layers.(\d+).qkv.(weight|bias)`` is a pattern: what stands in a group is a regular expression,
everything else is meant as it is written, so that a dot is a dot. ``layers.\1.attn.\2`` is a
template: ``\1`` to ``\9`` are the groups. ``{}`` is a running number, 0, 1, 2, where an operation
takes or makes as many names as there are. ``\(``, ``\)``, ``\{`` and ``\\`` are those letters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ckptkit.errors import MigrationError

_MAX_GROUPS = 9
_INDEX = r"(?P<index>0|[1-9][0-9]*)"


class Literal(NamedTuple):
    """Text that stands for itself."""

    text: str


class Group(NamedTuple):
    """A regular expression whose match gets a number."""

    regex: str


class Reference(NamedTuple):
    """What the group of this number matched."""

    number: int


class Index(NamedTuple):
    """The running number."""


Piece = Literal | Group | Reference | Index


class Found(NamedTuple):
    """How a name matched: the texts of the groups, and the running number if there is one."""

    groups: tuple[str, ...]
    number: int | None


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Piece, ...]:
    """Take a pattern or template apart. Raises: MigrationError for one that is none."""
    pieces: list[Piece] = []
    literal, at = "", 0
    while at < len(text):
        piece, width = _piece_at(text, at)
        if isinstance(piece, Literal):
            literal += piece.text
        else:
            pieces += [Literal(literal), piece] if literal else [piece]
            literal = ""
        at += width
    pieces += [Literal(literal)] if literal else []
    if sum(isinstance(piece, Group) for piece in pieces) > _MAX_GROUPS:
        raise _wrong(text, "more than nine groups")
    return tuple(pieces)


def _piece_at(text: str, at: int) -> tuple[Piece, int]:
    char, following = text[at], text[at + 1 : at + 2]
    if char == "\\":
        if following.isdigit() and following != "0":
            return Reference(int(following)), 2
        if not following or following.isalnum():
            raise _wrong(text, f"{text[at : at + 2]!a} outside of a group")
        return Literal(following), 2
    if char == "(":
        stop = _closing(text, at)
        regex = text[at + 1 : stop]
        try:
            inner = re.compile(regex).groups
        except re.error as exc:
            raise _wrong(text, f"the group ({regex}) is no regular expression: {exc}") from exc
        if inner or "(?P=" in regex:
            raise _wrong(text, f"a group inside the group ({regex}); write (?:...) for it")
        return Group(regex), stop + 1 - at
    if char == ")":
        raise _wrong(text, "a ')' that closes nothing")
    if char == "{" and following == "}":
        return Index(), 2
    return Literal(char), 1


def _closing(text: str, at: int) -> int:
    """Where the parenthesis at ``at`` is closed; those in classes and escapes do not count."""
    depth, in_class, position = 0, False, at
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char in "()":
            depth += 1 if char == "(" else -1
            if not depth:
                return position
        position += 1
    raise _wrong(text, "a '(' that is never closed")


def _wrong(text: str, seen: str) -> MigrationError:
    return MigrationError(
        f"the name {text!a}", seen, "literal text, and groups in parentheses",
        r"write a literal parenthesis as \( and a group as (\d+)",
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts, number = [], 0
    for piece in parse(pattern):
        if isinstance(piece, Literal):
            parts.append(re.escape(piece.text))
        elif isinstance(piece, Group):
            number += 1
            parts.append(f"(?P<g{number}>{piece.regex})")
        elif isinstance(piece, Reference):
            if piece.number > number:
                raise _wrong(pattern, f"\\{piece.number} before its group")
            parts.append(f"(?P=g{piece.number})")
        else:
            parts.append(_INDEX)
    return re.compile("".join(parts), re.DOTALL)


def match(pattern: str, name: str) -> Found | None:
    """Match the whole of ``name``, or return None."""
    found = _compiled(pattern).fullmatch(name)
    if found is None:
        return None
    named = found.groupdict()
    index = named.pop("index", None)
    return Found(tuple(named.values()), None if index is None else int(index))


def fill(template: str, groups: tuple[str, ...], index: int | None = None) -> str:
    """Return the name that ``template`` makes. Raises: MigrationError for an unknown group."""
    parts = []
    for piece in parse(template):
        if isinstance(piece, Literal):
            parts.append(piece.text)
        elif isinstance(piece, Reference) and piece.number <= len(groups):
            parts.append(groups[piece.number - 1])
        elif isinstance(piece, Index) and index is not None:
            parts.append(str(index))
        else:
            raise _wrong(template, f"{spelled((piece,))} has no value here")
    return "".join(parts)


def invert(pattern: str, templates: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Turn ``pattern -> templates`` round: (first template as pattern, [pattern, the others]).

    Raises: MigrationError if the first template does not name every group: then nothing says what
    to put there on the way back.
    """
    groups = [piece for piece in parse(pattern) if isinstance(piece, Group)]
    numbers: dict[int, int] = {}
    head: list[Piece] = []
    for piece in parse(templates[0]):
        if isinstance(piece, Reference) and piece.number not in numbers:
            if piece.number > len(groups):
                raise _wrong(templates[0], f"{spelled((piece,))} has no value here")
            numbers[piece.number] = len(numbers) + 1
            head.append(groups[piece.number - 1])
        else:
            head.append(_renumbered(piece, numbers, templates[0]))
    lost = [number for number in range(1, len(groups) + 1) if number not in numbers]
    if lost:
        raise MigrationError(
            f"{pattern!a} -> {templates[0]!a}",
            f"the group \\{lost[0]} is not in the new name, so no way leads back",
            "every group in the new name", "say one_way=True if there need be none",
        )  # fmt: skip
    back, number = [], 0
    for piece in parse(pattern):
        number += isinstance(piece, Group)
        known = Reference(number) if isinstance(piece, Group) else piece
        back.append(_renumbered(known, numbers, pattern))
    rest = [[_renumbered(p, numbers, text) for p in parse(text)] for text in templates[1:]]
    return spelled(head), (spelled(back), *map(spelled, rest))


def _renumbered(piece: Piece, numbers: dict[int, int], text: str) -> Piece:
    if not isinstance(piece, Reference):
        return piece
    if piece.number not in numbers:
        raise _wrong(text, f"{spelled((piece,))} has no value here")
    return Reference(numbers[piece.number])


def spelled(pieces: list[Piece] | tuple[Piece, ...]) -> str:
    """Return the text of pieces: the inverse of ``parse``."""
    parts = []
    for piece in pieces:
        if isinstance(piece, Literal):
            parts.append(literal(piece.text))
        elif isinstance(piece, Group):
            parts.append(f"({piece.regex})")
        else:
            parts.append(f"\\{piece.number}" if isinstance(piece, Reference) else "{}")
    return "".join(parts)


def literal(name: str) -> str:
    """Return the pattern, and template, that means exactly this name."""
    return re.sub(r"[\\()]|\{(?=\})", lambda found: "\\" + found[0], name)


def has_index(text: str) -> bool:
    """Say whether a running number is in it."""
    return any(isinstance(piece, Index) for piece in parse(text))

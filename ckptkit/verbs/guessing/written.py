"""A migrator as a Python file: formatted, typed, with the open questions as comments. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from textwrap import shorten, wrap

from ckptkit.algebra import Operation
from ckptkit.algebra.spelling import quoted
from ckptkit.verbs.guessing.draft import Question, Sure

_TITLE_WIDTH = 72
_LITERAL = re.compile(r"r?['\"]([^'\"]*)['\"]")  # the first text in the code of an operation
_VERBS = {
    "Rename": "renames", "Drop": "drops", "Split": "splits", "Concat": "joins", "Fill": "fills",
    "Stack": "stacks", "Unstack": "unstacks",
}  # fmt: skip
_WIDTH = 88  # the width of ruff and black by default


def file_text(
    trainer: str, section: str, versions: tuple[int, int], found: tuple[Sequence[Sure],
    Sequence[Question]], source: str,
) -> str:  # fmt: skip
    """Return the text of the file; ``source`` is what it was concluded from, for the docstring."""
    sure, questions = found
    title = title_of(sure, versions)
    used = {type(one.operation).__name__ for one in sure}
    names = sorted({*used, "SectionMigrator"})
    lines = [
        f'"""Version {versions[0]} to {versions[1]} of the section {section} of {trainer}.',
        "",
        *wrap(f"Written by `ckptkit migrate --autogenerate` from {source}. Read it, answer the"
              " questions, mend its title; then it is yours.", _WIDTH),
        '"""',
        "",
        *_import(names),
        "",
        "MIGRATORS = [",
        "    SectionMigrator(",
        f"        trainer={quoted(trainer)},",
        f"        section={quoted(section)},",
        f"        start={versions[0]},",
        f"        stop={versions[1]},",
        f"        title={quoted(title)},",
        *_operations(sure, questions),
        "    ),",
        "]",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def title_of(sure: Sequence[Sure], versions: tuple[int, int]) -> str:
    """What the operations do, in one line: the report of every restore shows it."""
    firsts: dict[str, list[str]] = {}
    for one in sure:
        verb = _VERBS.get(type(one.operation).__name__, "changes")
        literal = _LITERAL.search(repr(one.operation))
        firsts.setdefault(verb, []).append(literal[1] if literal else "a tensor")
    told = [
        f"{verb} {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for verb, names in firsts.items()
    ]
    return shorten("; ".join(told), _TITLE_WIDTH, placeholder=" ...") or (
        f"version {versions[0]} to {versions[1]}"
    )


def _import(names: Sequence[str]) -> list[str]:
    line = f"from ckptkit.plugin import {', '.join(names)}"
    if len(line) <= _WIDTH:
        return [line]
    return ["from ckptkit.plugin import (", *(f"    {name}," for name in names), ")"]


def _operations(sure: Sequence[Sure], questions: Sequence[Question]) -> Iterator[str]:
    if not sure and not questions:
        yield "        operations=(),"
        return
    yield "        operations=("
    for one in sure:
        yield from _comment(one.why)
        yield from call_lines(one.operation, 12)
    for question in questions:
        yield from _comment(f"QUESTION: {question.text}")
        if question.answer is not None:
            for line in call_lines(question.answer, 17):
                yield f"            # => {line[17:]}"
    yield "        ),"


def _comment(text: str) -> Iterable[str]:
    room = _WIDTH - 14
    return (f"            # {line}" for line in wrap(text, room, break_long_words=False))


def call_lines(operation: Operation, indent: int) -> list[str]:
    """The code that makes an operation, with a comma behind it, as a formatter would lay it out."""
    code = f"{operation!r},"
    lead = " " * indent
    if len(lead + code) <= _WIDTH:
        return [lead + code]
    return _broken(code, indent)


def _broken(code: str, indent: int) -> list[str]:
    """One argument a line; brackets of an argument that is too long are broken in turn."""
    lead = " " * indent
    start = next((i for i, char in enumerate(code) if char in "([{"), -1)
    if len(lead + code) <= _WIDTH or start < 0 or code[0] in "\"'r":
        return [lead + code]
    stop = len(code) - 2  # the bracket that closes, before the comma
    lines = [lead + code[: start + 1]]
    for part in _parts(code[start + 1 : stop]):
        lines += _broken(f"{part},", indent + 4)
    return [*lines, lead + code[stop:]]


def _parts(inner: str) -> list[str]:
    """Cut at the commas that are in no bracket and no text."""
    parts, depth, quote, begin = [], 0, "", 0
    at = 0
    while at < len(inner):
        char = inner[at]
        if quote:
            at += char == "\\"
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and not depth:
            parts.append(inner[begin:at].strip())
            begin = at + 1
        at += 1
    rest = inner[begin:].strip()
    return [*parts, rest] if rest else parts

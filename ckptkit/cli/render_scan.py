"""``scan`` for people: a verdict a path, and the names sorted by danger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ckptkit.cli.failures import of_error
from ckptkit.cli.human import count_text
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.safe_text import safe, shortened
from ckptkit.cli.screen import facts, lines, table, text
from ckptkit.verbs.scan import ScanReport, ScanRow

_MAX_ROWS = 60
_MAX_NAME_CHARS = 100
_LEVELS = {"dangerous": "bold red", "suspicious": "yellow", "unknown": "cyan", "known": "green"}
_VERDICTS = {
    "clean": ("clean", "bold green", "data alone"),
    "unknown": ("unknown names", "cyan", "data, and objects of packages that ckptkit never runs"),
    "suspicious": ("suspicious", "bold yellow", "it hides what it is: do not unpickle it"),
    "dangerous": ("dangerous", "bold red", "unpickling it runs something: do not"),
    "unreadable": ("unreadable", "bold yellow", "it breaks off, and nothing bad was seen before"),
}


def render(outcomes: Sequence[Any], *, with_all: bool) -> Iterator[Any]:
    """Yield what is printed, one block a path."""
    for position, outcome in enumerate(outcomes):
        if position:
            yield ""
        if isinstance(outcome, ScanReport):
            yield from _one(outcome, with_all=with_all)
        else:
            path, error = outcome
            yield text((safe(path), "bold"), "  ", ("not scanned", "bold red"))
            yield text("  " + of_error(error).paragraph)


def _one(found: ScanReport, *, with_all: bool) -> Iterator[Any]:
    word, style, meaning = _VERDICTS[found.verdict]
    yield text((safe(found.path), "bold"), "  ", (word, style), f"  {meaning}")
    told = [row for row in found.rows if with_all or row.level != "known"]
    if told:
        yield ""
        yield _table(told if with_all else told[:_MAX_ROWS])
        yield ""
    yield facts(_facts(found, len(told) - _MAX_ROWS if not with_all else 0))


def _table(rows: Sequence[ScanRow]) -> Any:
    return table(
        ("level", "name", "how", "times", "in", "because"),
        [
            (
                text((row.level, _LEVELS.get(row.level, ""))),
                shortened(safe(f"{row.use.module}.{row.use.qualname}"), _MAX_NAME_CHARS),
                row.use.how,
                f"{row.use.times:,}",
                safe(f"{row.use.stream} at {row.use.offset:,}"),
                safe(row.reason),
            )
            for row in rows
        ],
        numbers=("times",),
    )


def _facts(found: ScanReport, n_hidden: int) -> Iterator[tuple[str, Any]]:
    if n_hidden > 0:
        yield "more", f"{count_text(n_hidden, 'name')}; --all shows them"
    known = sum(row.level == "known" for row in found.rows)
    pickles = count_text(len(found.streams), "pickle")
    yield (
        "read",
        f"{pickles}, {count_text(known, 'harmless name')}"
        if found.streams
        else ("no pickle in it"),
    )
    yield "broken", lines(safe(str(error)) for error in found.errors) if found.errors else ""
    yield "notes", notice_lines(found.notices)

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
_MAX_SKIPPED = 20
_MAX_ALONE = 3  # unknown names of one package that have a line each; more share one
_LEVELS = {"dangerous": "bold red", "suspicious": "yellow", "unknown": "cyan", "known": "green"}
_VERDICTS = {
    "clean": ("clean", "bold green", "data alone"),
    "unknown": ("unknown names", "cyan", "data, and objects of packages that ckptkit never runs"),
    "suspicious": ("suspicious", "bold yellow", "it hides what it is: do not unpickle it"),
    "dangerous": ("dangerous", "bold red", "unpickling it runs something: do not"),
    "incomplete": ("incomplete", "bold yellow", "nothing bad was seen, but not all was read"),
    "unreadable": ("unreadable", "bold yellow", "something in it is broken; nothing bad was seen"),
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
    rows = [_cells(row) for row in told] if with_all else _grouped(told)
    if rows:
        yield ""
        yield _table(rows if with_all else rows[:_MAX_ROWS])
        yield ""
    yield facts(_facts(found, 0 if with_all else len(rows) - _MAX_ROWS))


def _table(rows: Sequence[tuple[Any, ...]]) -> Any:
    return table(("level", "name", "how", "times", "in", "because"), rows, numbers=("times",))


def _cells(row: ScanRow) -> tuple[Any, ...]:
    place = safe(f"{row.use.stream} at {row.use.offset:,}")
    if row.streams > 1:
        place += f" and {row.streams - 1:,} more"
    return (
        _level(row.level),
        shortened(safe(f"{row.use.module}.{row.use.qualname}"), _MAX_NAME_CHARS),
        row.use.how,
        f"{row.use.times:,}",
        place,
        safe(row.reason),
    )


def _grouped(rows: Sequence[ScanRow]) -> list[tuple[Any, ...]]:
    """One line a name; many unknown names of one package, which decide nothing, share a line."""
    packages: dict[str, list[ScanRow]] = {}
    for row in rows:
        if row.level == "unknown":
            packages.setdefault(row.use.module.partition(".")[0], []).append(row)
    cells = [_cells(row) for row in rows if row.level != "unknown"]
    for package, members in packages.items():
        if len(members) <= _MAX_ALONE:
            cells.extend(_cells(row) for row in members)
        else:
            cells.append(_group_cells(package, members))
    return cells


def _group_cells(package: str, members: Sequence[ScanRow]) -> tuple[Any, ...]:
    shown = ", ".join(safe(row.use.qualname) for row in members[:_MAX_ALONE])
    name = f"{safe(package)}: {count_text(len(members), 'name')} ({shown}, ...)"
    hows = {row.use.how for row in members}
    return (
        _level("unknown"),
        shortened(name, _MAX_NAME_CHARS),
        next(how for how in ("called", "built", "named") if how in hows),
        f"{sum(row.use.times for row in members):,}",
        safe(members[0].use.stream),
        "classes or functions of a package; --all lists them",
    )


def _level(level: str) -> Any:
    return text((level, _LEVELS.get(level, "")))


def _facts(found: ScanReport, n_hidden: int) -> Iterator[tuple[str, Any]]:
    if n_hidden > 0:
        yield "more", f"{count_text(n_hidden, 'line')}; --all shows them"
    known = sum(row.level == "known" for row in found.rows)
    pickles = count_text(len(found.streams), "pickle")
    yield (
        "read",
        f"{pickles}, {count_text(known, 'harmless name')}"
        if found.streams
        else ("no pickle in it"),
    )
    files, skipped = found.files, found.files.skipped
    if files.seen > 1:
        of_all = f"{count_text(files.seen, 'file')}: {files.read:,} with pickles"
        yield "files", f"{of_all}, {files.without_pickles:,} without"
    told = [f"{safe(one.name)}: {safe(one.error.seen)}" for one in skipped[:_MAX_SKIPPED]]
    if len(skipped) > _MAX_SKIPPED:
        told.append(f"and {len(skipped) - _MAX_SKIPPED:,} more (--json lists them)")
    yield "not read", lines(told) if told else ""
    yield "broken", lines(safe(str(error)) for error in found.errors) if found.errors else ""
    yield "notes", notice_lines(found.notices)

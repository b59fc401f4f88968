"""``verify`` for people: a verdict a path, and every damage by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ckptkit.cli.failures import of_error
from ckptkit.cli.human import size_text
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import facts, table, text
from ckptkit.protocols import Check
from ckptkit.verbs.verify import Verification

_MAX_DAMAGED = 50
_METHODS = {"xxh3-128": "digest", "crc32": "CRC-32", "structure": "structure"}
_VERDICTS = {
    "verified": ("verified", "bold green"),
    "partly": ("verified in part", "yellow"),
    "unverifiable": ("read whole", "yellow"),
    "damaged": ("damaged", "bold red"),
}


def render(outcomes: Sequence[Any], *, with_all: bool) -> Iterator[Any]:
    """Yield what is printed, one block a path."""
    blocks = [[*_block(outcome, with_all=with_all)] for outcome in outcomes]
    for position, block in enumerate(blocks):
        if position and len(block) + len(blocks[position - 1]) > 2:
            yield ""
        yield from block


def _block(outcome: Any, *, with_all: bool) -> Iterator[Any]:
    if isinstance(outcome, Verification):
        yield from filter(None, _one(outcome, with_all=with_all))
        return
    path, error = outcome
    yield text((safe(path), "bold"), "  ", ("no checkpoint", "bold red"))
    yield text("  " + of_error(error).paragraph)


def _one(found: Verification, *, with_all: bool) -> Iterator[Any]:
    word, style = _VERDICTS[found.verdict]
    yield text((safe(found.path), "bold"), "  ", (word, style), f"  {_summary(found)}")
    if found.same_as is not None:
        return
    told = [check for check in found.checks if with_all or check.outcome == "damaged"]
    if told:
        yield _table(told if with_all else told[:_MAX_DAMAGED])
        if not with_all and len(told) > _MAX_DAMAGED:
            yield text(f"  and {len(told) - _MAX_DAMAGED:,} more; --all names them")
    yield facts(_remarks(found))


def _summary(found: Verification) -> str:
    if found.same_as is not None:
        return f"the very files of {safe(found.same_as.name)}"
    if found.verdict == "unverifiable":
        return f"{size_text(found.nbytes)}; it carries no checksums to compare with"
    parts = [
        f"{count} by {_METHODS.get(method, safe(method))}"
        for method, count in found.methods().items()
    ]
    damaged = len(found.damaged)
    if damaged:
        parts.append(f"{damaged:,} damaged")
    return f"{size_text(found.checked_nbytes)} of {size_text(found.nbytes)} checked" + (
        f": {', '.join(parts)}" if parts else ""
    )


def _table(checks: Sequence[Check]) -> Any:
    styles = {"damaged": "bold red", "ok": "green"}
    return table(
        ("what", "outcome", "bytes", "by", "because"),
        [
            (
                safe(check.name),
                text((check.outcome, styles.get(check.outcome, "yellow"))),
                size_text(check.nbytes),
                _METHODS.get(check.by, safe(check.by)),
                safe(check.message),
            )
            for check in checks
        ],
        numbers=("bytes",),
    )


def _remarks(found: Verification) -> Iterator[tuple[str, Any]]:
    messages: dict[str, list[str]] = {}
    for check in found.checks:
        if check.outcome == "unverifiable":
            messages.setdefault(check.message, []).append(check.name)
    for message, names in messages.items():
        who = safe(names[0]) if len(names) == 1 else f"{len(names):,} entries"
        yield "unchecked", text(f"{who}: {safe(message)}" if message else who)
    yield "notes", notice_lines(found.notices)
    if found.verdict == "damaged":
        yield "next", f"ckptkit recover {safe(found.path)} DST saves what is still whole of it"

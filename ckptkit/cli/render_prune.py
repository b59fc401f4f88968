"""``prune`` for people: each checkpoint with its fate, newest first, and what it frees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from ckptkit.cli.human import count_text, number_text, size_text
from ckptkit.cli.pruning import Outcome
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import facts, table, text
from ckptkit.run.retention import Fate

_FATES = {
    "keep": ("keep", "green"),
    "slim": ("weights only", "yellow"),
    "remove": ("remove", "red"),
}


def plan(outcome: Outcome) -> Iterator[Any]:
    """Yield the table, and what is left alone."""
    yield text((safe(str(outcome.experiment.folder)), "bold"))
    yield ""
    score = safe(outcome.metric or "score")
    yield table(
        ("checkpoint", "epoch", "step", score, "saved", "fate", "frees", "because"),
        [_row(fate) for fate in reversed(outcome.plan.fates)],
        numbers=("epoch", "step", score, "frees"),
        optional=("saved", score),
    )
    yield ""
    if outcome.going and outcome.dry_run:
        yield text(f"  would {going_words(outcome.going)}")
    elif not outcome.going:
        yield text("  every checkpoint stays as it is: nothing to do")
    yield from _left_alone(outcome)


def pinned(outcome: Outcome) -> Iterator[Any]:
    """Yield what was pinned, where nothing else was asked."""
    names = ", ".join(safe(name) for name in outcome.pinned)
    yield text(f"pinned: {names}; remove the file PINNED in it to take that back")


def end(outcome: Outcome) -> Iterator[Any]:
    """Yield what became of it."""
    if outcome.declined:
        yield text("nothing was removed")
        return
    removed = [fate for fate in outcome.done if fate.verdict == "remove"]
    slimmed = [fate for fate in outcome.done if fate.verdict == "slim"]
    parts = [f"removed {count_text(len(removed), 'checkpoint')}"] if removed else []
    if slimmed:
        parts.append(f"kept only the weights of {len(slimmed):,}")
    parts.append(f"freed {size_text(sum(fate.freed_nbytes for fate in outcome.done))}")
    yield text("  " + ", ".join(parts))
    for one in outcome.damaged_meanwhile:
        yield text(("  left as it is", "yellow"), f": {safe(one.path.name)}: {safe(one.reason)}")


def going_words(going: Sequence[Fate]) -> str:
    """What is about to happen, as the half of a sentence."""
    removed = [fate for fate in going if fate.verdict == "remove"]
    slimmed = len(going) - len(removed)
    parts = [f"remove {count_text(len(removed), 'checkpoint')}"] if removed else []
    if slimmed:
        parts.append(f"keep only the weights of {slimmed:,}")
    freed = size_text(sum(fate.freed_nbytes for fate in going))
    return f"{', '.join(parts)} and free {freed}"


def _row(fate: Fate) -> tuple[Any, ...]:
    one = fate.candidate
    freed = fate.freed_nbytes
    shared = fate.verdict != "keep" and not freed
    return (
        safe(one.name),
        f"{one.epochs:,}",
        f"{one.steps:,}",
        "" if one.score is None else number_text(one.score),
        _when(one.created_s),
        text(_FATES[fate.verdict]),
        "0 B" if shared else size_text(freed) if freed else "",
        safe(fate.why),
    )


def _left_alone(outcome: Outcome) -> Iterator[Any]:
    if outcome.plan.skipped:
        yield ""
        yield text("  damaged, and not touched (ckptkit recover saves what they hold):")
        yield facts((safe(one.path.name), safe(one.reason)) for one in outcome.plan.skipped)
    if outcome.others:
        names = ", ".join(map(safe, outcome.others[:5]))
        more = f" and {len(outcome.others) - 5:,} more" if len(outcome.others) > 5 else ""
        yield text(f"  of other programs, and not touched: {names}{more}")


def _when(created_s: float) -> str:
    if not created_s:
        return ""
    return datetime.fromtimestamp(created_s).astimezone().strftime("%Y-%m-%d %H:%M")

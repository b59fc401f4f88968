"""Which checkpoints of a run its own line has left behind, by going on from an older one. Pure.

Every checkpoint remembers the resumes that led to it. Where another one's line was resumed before
the place at which this one stands, this one is of a future that was given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ckptkit.nodes import MapNode, SeqNode
from ckptkit.run.history import EVENTS


class Resume(NamedTuple):
    """One resume: at which place of the run, and when (Unix time)."""

    steps: int
    epochs: int
    time_s: float


def resumes_in(history: object) -> tuple[Resume, ...]:
    """The resumes that a section ``history`` tells of, oldest first."""
    events = history.get(EVENTS) if isinstance(history, MapNode) else None
    rows = [list(one.items) for one in events.items if isinstance(one, SeqNode)] if (
        isinstance(events, SeqNode)
    ) else []  # fmt: skip
    return tuple(
        Resume(row[2], row[1], row[3])
        for row in rows
        if len(row) > 3
        and row[0] == "resumed"
        and all(isinstance(one, (int, float)) for one in row[1:4])
    )


def left_at(
    place: tuple[int, int], own: Sequence[Resume], others: Sequence[Sequence[Resume]]
) -> Resume | None:
    """The resume that left a checkpoint at ``place`` (steps, epochs) behind; None if none did.

    Clocks decide only between two lines that were both gone on with.
    """
    for other in others:
        common = next(
            (n for n, (a, b) in enumerate(zip(own, other, strict=False)) if a != b),
            min(len(own), len(other)),
        )
        if common == len(other):
            continue  # an ancestor, or the same session
        went_back = other[common]
        older = common == len(own) or own[common].time_s < went_back.time_s
        if older and place > (went_back.steps, went_back.epochs):
            return went_back
    return None

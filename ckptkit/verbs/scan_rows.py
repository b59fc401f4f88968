"""The names of all pickles, judged: one row a name, the worst first, and never too many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ckptkit.danger import LEVELS, judge
from ckptkit.protocols import GlobalUse, StreamScan
from ckptkit.types import Notice

MAX_ROWS_PER_STREAM = 2_000  # a report is for people; dangerous and suspicious ones are all kept
_ALARMING = ("dangerous", "suspicious")
_STRONGEST = ("called", "built", "named")


class ScanRow(NamedTuple):
    """One name with its judgement. ``level`` is one of ``ckptkit.danger.LEVELS``.

    ``use`` stands for all uses of it: the strongest ``how``, ``times`` of all together, the stream
    and offset where it was met first. ``streams`` counts the pickles that name it.
    """

    level: str
    reason: str
    use: GlobalUse
    streams: int = 1

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"level": self.level, "reason": self.reason, **self.use._asdict()}
        return told | {"streams": self.streams}


class RowTable:
    """Collects the rows of one report, stream by stream."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], ScanRow] = {}

    def add(self, scan: StreamScan) -> Iterable[Notice]:
        """Judge the names of a stream; a notice says how many of them were not kept."""
        new = sorted((ScanRow(*judge(use), use) for use in scan.uses), key=_rank)
        kept: set[tuple[str, str]] = set()
        dropped: set[tuple[str, str]] = set()
        for row in new:
            name = (row.use.module, row.use.qualname)
            if name in kept or name in self._rows or len(kept) < MAX_ROWS_PER_STREAM:
                kept.add(name)
            elif row.level not in _ALARMING:
                dropped.add(name)
                continue
            known = self._rows.get(name)
            self._rows[name] = row if known is None else _merged(known, row)
        if dropped:
            message = f"{len(dropped):,} more names, none of them dangerous, are not listed"
            yield Notice("warning", "names-left-out", message, scan.stream)

    def rows(self) -> tuple[ScanRow, ...]:
        """Every row, the worst first."""
        return tuple(sorted(self._rows.values(), key=_rank))


def _rank(row: ScanRow) -> tuple[int, bool, int]:
    return LEVELS.index(row.level), row.use.how == "named", -row.use.times


def _merged(one: ScanRow, two: ScanRow) -> ScanRow:
    """Both uses of a name as one row, as bad as the worse of them."""
    worse = min(one, two, key=lambda row: LEVELS.index(row.level))
    how = min(one.use.how, two.use.how, key=_STRONGEST.index)
    use = one.use._replace(
        how=how,
        times=one.use.times + two.use.times,
        harmless=one.use.harmless and two.use.harmless,
    )
    apart = int(one.use.stream != two.use.stream)
    return ScanRow(worse.level, worse.reason, use, one.streams + apart)

"""The verb ``scan``: what the pickles of a checkpoint would name and call, and how bad that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ckptkit.containers.probe import choose, make_probe
from ckptkit.danger import LEVELS, judge
from ckptkit.errors import CkptkitError, ContainerError, DangerFoundError
from ckptkit.hooks.manager import containers
from ckptkit.protocols import GlobalUse, StreamScan
from ckptkit.types import DEFAULT_LIMITS, Limits, Notice

VERDICTS = ("clean", "unknown", "suspicious", "dangerous", "unreadable")

# The verdict of a level; a file whose names are all known is clean.
_VERDICT_OF = {"known": "clean"}


class ScanRow(NamedTuple):
    """One name with its judgement. ``level`` is one of ``ckptkit.danger.LEVELS``."""

    level: str
    reason: str
    use: GlobalUse

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"level": self.level, "reason": self.reason, **self.use._asdict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """What was found in one path. ``rows`` are the worst first; ``streams`` in file order.

    ``verdict``: "clean" (data only), "unknown" (names of other packages, which are inert here),
    "suspicious" or "dangerous" (never unpickle it), "unreadable" (broken, nothing bad seen).
    """

    path: FilePath
    container: str
    verdict: str
    rows: tuple[ScanRow, ...]
    streams: tuple[str, ...]
    notices: tuple[Notice, ...]
    errors: tuple[ContainerError, ...]

    def finding(self, *, strict: bool = False) -> CkptkitError | None:
        """The error that ends the command with the exit code for CI; None for success.

        A broken file without a bad name ends with the code of what is broken. With ``strict``
        names that ckptkit does not know are a finding too.
        """
        bad = {"suspicious", "dangerous"} | ({"unknown"} if strict else set())
        if self.verdict in bad:
            return DangerFoundError(
                self.path, self._worst_text(), "data alone",
                "do not unpickle this file; ckptkit reads it without running any of it",
            )  # fmt: skip
        return self.errors[0] if self.errors else None

    def _worst_text(self) -> str:
        row = next(iter(self.rows), None)
        shown = next((notice for notice in self.notices if notice.level == "danger"), None)
        if row is not None and row.level != "known" and (row.level == "dangerous" or shown is None):
            return f"{row.level}: {row.use.module}.{row.use.qualname!s} ({row.reason})".encode(
                "ascii", "backslashreplace"
            ).decode()
        return shown.message if shown is not None else self.verdict

    def to_json(self) -> dict[str, Any]:
        """Plain data, stable for programs."""
        return {
            "path": str(self.path),
            "container": self.container,
            "verdict": self.verdict,
            "names": [row.to_json() for row in self.rows],
            "streams": list(self.streams),
            "notices": [notice._asdict() for notice in self.notices],
            "errors": [{"kind": error.kind, "message": str(error)} for error in self.errors],
        }


def scan(path: FilePath | str, limits: Limits = DEFAULT_LIMITS) -> ScanReport:
    """Follow every pickle of a checkpoint, run none of it, and judge what it names.

    Raises: InputError if the path holds nothing that could be a checkpoint.
    """
    probe = make_probe(FilePath(path))
    container = choose(probe, containers())
    return report(FilePath(path), container.name, container.scan(probe, limits))


def report(path: FilePath, container: str, scans: Iterable[StreamScan]) -> ScanReport:
    """Judge the streams of one checkpoint. ``scans`` may stop with a ContainerError."""
    uses: list[GlobalUse] = []
    streams: list[str] = []
    notices: list[Notice] = []
    errors: list[ContainerError] = []
    try:
        for found in scans:
            streams.append(found.stream)
            uses.extend(found.uses)
            notices.extend(found.notices)
            if found.error is not None:
                errors.append(found.error)
    except ContainerError as exc:  # the container itself is broken: keep what it gave so far
        errors.append(exc)
    rows = [ScanRow(*judge(use), use) for use in uses]
    rows.sort(key=lambda row: (LEVELS.index(row.level), row.use.how == "named", -row.use.times))
    return ScanReport(
        path=path,
        container=container,
        verdict=_verdict(rows, notices, errors),
        rows=tuple(rows),
        streams=tuple(streams),
        notices=tuple(dict.fromkeys(notices)),
        errors=tuple(errors),
    )


def _verdict(rows: list[ScanRow], notices: list[Notice], errors: list[ContainerError]) -> str:
    level = rows[0].level if rows else "known"
    if level != "dangerous" and any(notice.level == "danger" for notice in notices):
        level = "suspicious"
    if errors and level in ("known", "unknown"):
        return "unreadable"
    return _VERDICT_OF.get(level, level)

"""The verb ``scan``: what the pickles of a checkpoint would name and call, and how bad that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.part_scan import NOT_SCANNED, scan_part
from ckptkit.containers.probe import choose, make_probe
from ckptkit.errors import CkptkitError, DangerFoundError, ForeignFormatError, NoCheckpointError
from ckptkit.hooks.manager import containers
from ckptkit.protocols import Container, Probe, StreamScan
from ckptkit.types import DEFAULT_LIMITS, SEALED_CONTAINER, Limits, Notice
from ckptkit.verbs.scan_rows import RowTable, ScanRow

__all__ = ["VERDICTS", "FileCounts", "ScanReport", "ScanRow", "Skipped", "report", "scan"]

VERDICTS = ("clean", "unknown", "suspicious", "dangerous", "incomplete", "unreadable")

# The verdict of a level; a file whose names are all known is clean.
_VERDICT_OF = {"known": "clean"}
# Ours look into folders file by file, which happens here; those of plugins are asked as well.
_OUR_FOLDERS = (SEALED_CONTAINER, "dcp", "folder")

Progress = Callable[[int, int], None]  # bytes more, bytes of all


class Skipped(NamedTuple):
    """A file, or a member of one, that was not read, and the error that says why."""

    name: str
    error: CkptkitError

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "kind": self.error.kind, "reason": self.error.seen}


class FileCounts(NamedTuple):
    """How many files there were, how many held pickles or none, and what was not read, or not all.

    A member of an archive may be skipped as well, so the numbers need not add up to ``seen``.
    """

    seen: int = 1
    read: int = 0
    without_pickles: int = 0
    skipped: tuple[Skipped, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return self._asdict() | {"skipped": [one.to_json() for one in self.skipped]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """What was found in one path. ``rows`` are the worst first; ``streams`` in file order.

    ``verdict``: "clean" (all was read, data only), "unknown" (names of other packages, which are
    inert here), "suspicious" or "dangerous" (never unpickle it); where nothing bad was seen,
    "unreadable" (something is broken) or "incomplete" (something was not read).
    """

    path: FilePath
    container: str
    verdict: str
    rows: tuple[ScanRow, ...]
    streams: tuple[str, ...]
    notices: tuple[Notice, ...]
    errors: tuple[CkptkitError, ...]
    files: FileCounts

    def finding(self, *, strict: bool = False) -> CkptkitError | None:
        """The error that ends the command with the exit code for CI; None for success.

        What is broken or was not read, without a bad name beside it, ends with the code of the
        first such failure. With ``strict`` names that ckptkit does not know are a finding too.
        """
        is_bad = self.verdict in ("suspicious", "dangerous")
        if is_bad or (strict and any(row.level == "unknown" for row in self.rows)):
            return DangerFoundError(
                self.path, self._worst_text(), "data alone",
                "do not unpickle this file; ckptkit reads it without running any of it",
            )  # fmt: skip
        if self.errors:
            return self.errors[0]
        return self.files.skipped[0].error if self.files.skipped else None

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
            "files": self.files.to_json(),
            "names": [row.to_json() for row in self.rows],
            "streams": list(self.streams),
            "notices": [notice._asdict() for notice in self.notices],
            "errors": [{"kind": error.kind, "message": str(error)} for error in self.errors],
        }


def scan(
    path: FilePath | str, limits: Limits = DEFAULT_LIMITS, progress: Progress | None = None
) -> ScanReport:
    """Follow every pickle of a checkpoint, run none of it, and judge what it names.

    Every file of a folder is looked at, at any depth and whatever it is called; links that leave it
    and what is no plain file are not followed but counted as skipped.
    Raises: InputError if the path holds nothing that could be a checkpoint.
    """
    probe = make_probe(FilePath(path))
    if probe.is_dir:
        return _scan_folder(probe, limits, progress)
    found = _scan_file(probe, limits)
    if progress is not None:
        progress(probe.nbytes, probe.nbytes)
    return found


def report(path: FilePath, container: str, scans: Iterable[StreamScan]) -> ScanReport:
    """Judge the streams of one file. ``scans`` may stop with a CkptkitError."""
    found = _Findings()
    found.take(scans, path)
    has_none = not found.streams and not found.skipped and not found.errors
    return found.report(path, container, FileCounts(1, int(bool(found.streams)), int(has_none)))


def _scan_file(probe: Probe, limits: Limits) -> ScanReport:
    try:
        container = choose(probe, containers())
    except CkptkitError:
        with FileBytes(probe.path) as file:
            inner = list(scan_part(file, probe.path.name, limits))
        if not any(scan.uses or scan.error for scan in inner):
            raise  # no container, and nothing else that we could look into
        return report(probe.path, "packed", inner)
    return report(probe.path, container.name, container.scan(probe, limits))


def _scan_folder(probe: Probe, limits: Limits, progress: Progress | None) -> ScanReport:
    from ckptkit.containers.scan_tree import scan_tree

    registered = sorted(containers(), key=lambda one: (one.rank, one.name))
    container = choose(probe, registered)
    found = _Findings()
    seen = read = without = 0
    for file in scan_tree(probe.path, limits, registered, progress):
        seen += 1
        n_streams, n_skipped = len(found.streams), len(found.skipped)
        found.take(file.scans, probe.path / file.name)
        if file.error is not None:
            found.errors.append(file.error)
        if file.refusal is not None:
            found.skipped.append(Skipped(file.name, file.refusal))
        read += len(found.streams) > n_streams
        is_whole = len(found.skipped) == n_skipped and file.error is None
        without += len(found.streams) == n_streams and is_whole
    if not seen:
        raise NoCheckpointError(
            probe.path, "the folder is empty: there is no file in it", "a checkpoint",
            "name the folder or the file of one checkpoint; `ckptkit list` searches folders",
        )  # fmt: skip
    _ask_plugin(container, probe, limits, found)
    counts = FileCounts(seen, read, without)
    return found.report(probe.path, container.name, counts)


def _ask_plugin(container: Container, probe: Probe, limits: Limits, found: _Findings) -> None:
    if container.name not in _OUR_FOLDERS:
        found.take(container.scan(probe, limits), probe.path)


class _Findings:
    """What the streams of one path gave so far."""

    def __init__(self) -> None:
        self.table = RowTable()
        self.streams: list[str] = []
        self.notices: list[Notice] = []
        self.errors: list[CkptkitError] = []
        self.skipped: list[Skipped] = []

    def take(self, scans: Iterable[StreamScan], file: FilePath) -> None:
        """Keep what streams say; if their container breaks, what it gave until then."""
        try:
            for scan in scans:
                self._take_one(scan, file)
        except CkptkitError as exc:
            self.errors.append(_placed(exc, file))

    def _take_one(self, scan: StreamScan, file: FilePath) -> None:
        left_out = [notice for notice in scan.notices if notice.code == NOT_SCANNED]
        for notice in left_out:
            error = ForeignFormatError(
                notice.where, f"was not scanned: {notice.message}", "", "unpack it, then scan that"
            )
            self.skipped.append(Skipped(scan.stream, error))
        if not left_out:
            self.streams.append(scan.stream)
        self.notices += (*scan.notices, *self.table.add(scan))
        if scan.error is not None:
            self.errors.append(_placed(scan.error, file))

    def report(self, path: FilePath, container: str, counts: FileCounts) -> ScanReport:
        """Everything that was taken, with its verdict."""
        rows, skipped = self.table.rows(), tuple(self.skipped)
        return ScanReport(
            path=path,
            container=container,
            verdict=self._verdict(rows, is_whole=not skipped),
            rows=rows,
            streams=tuple(self.streams),
            notices=tuple(dict.fromkeys(self.notices)),
            errors=tuple(self.errors),
            files=counts._replace(skipped=skipped),
        )

    def _verdict(self, rows: tuple[ScanRow, ...], *, is_whole: bool) -> str:
        level = rows[0].level if rows else "known"
        if level != "dangerous" and any(notice.level == "danger" for notice in self.notices):
            level = "suspicious"
        if level in ("known", "unknown") and (self.errors or not is_whole):
            return "unreadable" if self.errors else "incomplete"
        return _VERDICT_OF.get(level, level)


def _placed(error: CkptkitError, file: FilePath) -> CkptkitError:
    """The same error with the file in its place: a stream knows only its own name."""
    if str(file) in error.where or file.name in error.where:
        return error
    placed = type(error)(f"{file}: {error.where}", error.seen, error.expected, error.advice)
    placed.rescue = ""  # the container's own breakage says it, once a file
    return placed

"""Zip archives with something before them: torch reads none of these, other programs do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.polyglot import archive_start
from ckptkit.errors import CkptkitError, CorruptFileError
from ckptkit.protocols import OpenFile, Probe, StreamScan
from ckptkit.types import Limits


class PrefixedZipContainer:
    """A file of no known kind that ends with a whole archive; it is scanned, but not opened."""

    name = "prefixed-zip"
    title = "zip archive behind other bytes (scanned only)"
    rank = 95

    def matches(self, probe: Probe) -> bool:
        """An end record at the tail whose directory is where it says."""
        if probe.is_dir:
            return False
        try:
            with FileBytes(probe.path) as file:
                return archive_start(file) is not None
        except CkptkitError:
            return False

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> NoReturn:
        """Refuse it: what counts as the file depends on who reads it. Raises: CorruptFileError."""
        del limits, open_file
        with FileBytes(probe.path) as file:
            start = archive_start(file)
        raise CorruptFileError(
            probe.path,
            f"a zip archive begins at byte {start} of it, behind something else",
            "an archive from the first byte on, as torch.save writes it",
            f"if you trust it, cut the first {start} bytes off",
        )

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow the pickles of the archive."""
        from ckptkit.containers.zip_scan import scan_other_readings

        with FileBytes(probe.path) as file:
            yield from scan_other_readings(file, "unknown", limits)

"""Pickles without a container of torch around them: whatever ``pickle.dump`` wrote."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.kept_file import open_kept
from ckptkit.containers.pickle_scan import is_telling, scan_row
from ckptkit.containers.pickle_sniff import is_pickle_start, is_text_pickle_start
from ckptkit.containers.pickle_window import Attempt, PickleWindow
from ckptkit.containers.polyglot import polyglot_notices
from ckptkit.errors import CkptkitError
from ckptkit.nodes import SeqNode
from ckptkit.protocols import Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits, Notice

_MAX_PICKLES = 4096
# A single number or string of protocol 1 begins with any of these, and with nothing more telling.
_BINARY_STARTS = tuple(bytes([code]) for code in b"KMJGXTU")
_MAX_SNIFFED_NBYTES = 64 << 10


class BarePickleContainer:
    """One pickle, or several in a row, from the first byte of the file on."""

    name = "pickle"
    title = "Bare pickle (pickle.dump)"
    rank = 90

    def matches(self, probe: Probe) -> bool:
        """A protocol mark, or text that only a pickle of protocol 0 or 1 begins with."""
        if probe.is_dir:
            return False
        if is_pickle_start(probe.head):
            return True
        could_be = is_text_pickle_start(probe.head)
        is_small = probe.nbytes <= _MAX_SNIFFED_NBYTES and probe.head[:1] in _BINARY_STARTS
        return (could_be or is_small) and _can_be_read(probe, whole=not could_be)

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Read every pickle; several become one list. Raises: ContainerError."""
        del open_file
        return open_kept(probe, limits, _open)

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow every pickle in a row, and look for more behind the last one."""
        from ckptkit.containers.zip_scan import scan_other_readings

        with FileBytes(probe.path) as file:
            yield from scan_row(file, limits, "pickle")
            yield from scan_other_readings(file, "pickle", limits)


def _can_be_read(probe: Probe, *, whole: bool) -> bool:
    """Bytes without a mark are a pickle if they can be followed to an end.

    What names something readable on the way is one as well, unless it must be ``whole``: one
    pickle and nothing else.
    """
    try:
        with FileBytes(probe.path) as file:
            window = PickleWindow(file, Limits())
            scan = window.read("pickle").scan
            if whole:
                return scan.error is None and window.position == file.nbytes
    except CkptkitError:
        return False
    return scan.error is None or is_telling(scan)


def _open(file: FileBytes, probe: Probe, limits: Limits) -> Opened:
    window = PickleWindow(file, limits)
    attempts = [window.read("pickle")]
    attempts[0].result()
    while window.position < file.nbytes and len(attempts) < _MAX_PICKLES:
        attempt = _next(window, len(attempts))
        if attempt is None:
            break
        attempts.append(attempt)
    values = [attempt.value for attempt in attempts]
    return Opened(
        path=probe.path,
        container=BarePickleContainer.name,
        nbytes=file.nbytes,
        root=values[0] if len(values) == 1 else SeqNode(values),
        properties={"pickles": len(values)},
        scans=tuple(attempt.scan for attempt in attempts),
        notices=(*_notices(file, window, len(values)), *polyglot_notices(file, "pickle")),
        close=file.close,
    )


def _next(window: PickleWindow, count: int) -> Attempt | None:
    """The pickle that follows, or None where something else does."""
    head = window.peek(1024)
    if not is_pickle_start(head) and not is_text_pickle_start(head):
        return None
    attempt = window.read(f"pickle {count + 1}")
    return attempt if attempt.scan.error is None else None


def _notices(file: FileBytes, window: PickleWindow, count: int) -> Iterator[Notice]:
    where = str(file.where)
    if count > 1:
        message = f"{count} pickles lie in a row; torch.load and pickle.load read the first only"
        yield Notice("warning", "several-pickles", message, where)
    if window.position < file.nbytes:
        message = f"{file.nbytes - window.position} bytes follow the last pickle"
        yield Notice("warning", "trailing-bytes", message, where)

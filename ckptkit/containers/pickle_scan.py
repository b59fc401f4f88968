"""Follow pickles that a file holds beside the one it is opened for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.pickle_sniff import HEAD_NBYTES, is_pickle_start, is_text_pickle_start
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.pickle_window import Attempt, PickleWindow
from ckptkit.containers.trace import Tracer
from ckptkit.errors import ContainerError
from ckptkit.protocols import StreamScan
from ckptkit.types import Limits

MAX_NESTING = 8  # pickles inside byte strings of pickles
_MAX_STREAMS = 256  # pickles in a row that are followed one by one
_MAX_TAIL_NBYTES = 16 << 20  # how far behind a breakage the next pickle is looked for
_MAX_TRIES = 512

# A protocol mark and an opcode that an honest or hostile pickle would begin with.
_RESYNC = re.compile(rb"\x80[\x02-\x05][\x95c(\])}\x8c\x8aX\x58KNJMG\x88\x89Uu\x8e\x8d]")
_TEXT_RESYNC = re.compile(rb"c[a-zA-Z_][\w.]{1,100}\n[a-zA-Z_][\w.]{0,100}\n")
_PLAIN_NAME = re.compile(r"[^\W\d][\w.]*", re.ASCII)


def scan_bytes(
    data: bytes, stream: str, limits: Limits, *, nesting: int = 0, nodes_for: int = 0
) -> Iterator[StreamScan]:
    """Follow the pickles that lie in a row from the first byte on, and those inside of them."""
    position, count = 0, 0
    while position < len(data) and count < _MAX_STREAMS:
        name = stream if not count else f"{stream}, pickle {count + 1}"
        tracer = Tracer(name)
        error: ContainerError | None = None
        stop = len(data)
        try:
            _, stop = read_pickle(
                data, stream=name, tracer=tracer, limits=limits, start=position,
                nodes_for=max(nodes_for, len(data)),
            )  # fmt: skip
        except ContainerError as exc:
            error = exc
        found = Attempt(None, tracer.scan(error), tuple(tracer.embedded))
        if count and not _is_telling(found.scan):
            return
        yield found.scan
        yield from follow_embedded(found, limits, nesting + 1)
        if error is not None:
            yield from _resynced(data[position + 1 : position + _MAX_TAIL_NBYTES], stream, limits)
            return
        position, count = stop, count + 1
        rest = data[position : position + HEAD_NBYTES]
        if not is_pickle_start(rest) and not is_text_pickle_start(rest):
            return


def follow_embedded(attempt: Attempt, limits: Limits, nesting: int = 1) -> Iterator[StreamScan]:
    """Follow the byte strings of a pickle that look like pickles themselves."""
    if nesting > MAX_NESTING:
        return
    for offset, raw in attempt.embedded:
        stream = f"{attempt.scan.stream}, bytes at {offset}"
        for scan in scan_bytes(raw, stream, limits, nesting=nesting):
            if _is_telling(scan):
                yield scan


def scan_row(file: FileBytes, limits: Limits, stream: str) -> Iterator[StreamScan]:
    """Follow the pickles in a row at the front of a file, and what hides behind them."""
    window = PickleWindow(file, limits)
    for count in range(_MAX_STREAMS):
        attempt = window.read(stream if not count else f"{stream}, pickle {count + 1}")
        if count and not _is_telling(attempt.scan):
            break
        yield attempt.scan
        yield from follow_embedded(attempt, limits)
        if attempt.scan.error is not None:
            yield from scan_tail(file, limits, window.position + 1)
            return
        if window.position >= file.nbytes:
            return
    yield from scan_tail(file, limits, window.position)


def scan_tail(file: FileBytes, limits: Limits, position: int) -> Iterator[StreamScan]:
    """Look for pickles from ``position`` on, where nothing says that there are any."""
    nbytes = min(_MAX_TAIL_NBYTES, file.nbytes - position)
    if nbytes > 0:
        yield from _resynced(file.read(position, nbytes), f"bytes from {position} on", limits)


def _resynced(data: bytes, stream: str, limits: Limits) -> Iterator[StreamScan]:
    """The streams inside ``data`` that name something, or end as a pickle should."""
    position = 0
    for _ in range(_MAX_TRIES):
        hits = [hit for hit in (p.search(data, position) for p in (_RESYNC, _TEXT_RESYNC)) if hit]
        if not hits:
            return
        start = min(hit.start() for hit in hits)
        tracer = Tracer(f"{stream} +{start}")
        error: ContainerError | None = None
        position = start + 1
        try:
            _, position = read_pickle(
                data, stream=tracer.stream, tracer=tracer, limits=limits, start=start,
                nodes_for=len(data),
            )  # fmt: skip
        except ContainerError as exc:
            error = exc
        scan = tracer.scan(error)
        if _is_telling(scan):
            yield scan


def _is_telling(scan: StreamScan) -> bool:
    """Chance makes pickles out of noise: only ones that name something readable count."""
    return any(
        _PLAIN_NAME.fullmatch(use.module) and _PLAIN_NAME.fullmatch(use.qualname)
        for use in scan.uses
    )

"""Follow pickles that a file holds beside the one it is opened for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.pickle_sniff import HEAD_NBYTES, is_pickle_start, is_text_pickle_start
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.pickle_window import Attempt, PickleWindow
from ckptkit.containers.storages import nominal_storage
from ckptkit.containers.trace import Tracer
from ckptkit.errors import ContainerError
from ckptkit.protocols import StreamScan
from ckptkit.types import Limits

MAX_NESTING = 8  # pickles inside byte strings of pickles
_MAX_STREAMS = 256  # pickles in a row that are followed one by one
_MAX_TAIL_NBYTES = 16 << 20  # how far behind a breakage the next pickle is looked for
_MAX_TRIES = 64
_MAX_FOLLOWED_NBYTES = 64 << 20  # in all tries together, each counted to the end of the data

# A protocol mark and an opcode that a pickle would begin with, or a GLOBAL in words.
_RESYNC = re.compile(
    rb"\x80[\x02-\x05][\x95c(\])}\x8c\x8aX\x58KNJMG\x88\x89Uu\x8e\x8d]"
    rb"|(?<![\w.])c[a-zA-Z_][\w.]{1,100}\n[a-zA-Z_][\w.]{0,100}\n"
)
_PLAIN_NAME = re.compile(r"[^\W\d][\w.]*", re.ASCII)


def scan_bytes(
    data: bytes, stream: str, limits: Limits, *, nesting: int = 0, nodes_for: int = 0
) -> Iterator[StreamScan]:
    """Follow the pickles that lie in a row from the first byte on, and those inside of them."""
    position = 0
    for count in range(_MAX_STREAMS):
        name = stream if not count else f"{stream}, pickle {count + 1}"
        attempt, stop = _follow(data, name, limits, position, nodes_for)
        if not count or is_telling(attempt.scan):
            yield attempt.scan
        yield from follow_embedded(attempt, limits, nesting + 1)
        if attempt.scan.error is not None:
            yield from _resynced(data[position + 1 : position + _MAX_TAIL_NBYTES], stream, limits)
            return
        position = stop
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
            if is_telling(scan):
                yield scan


def scan_row(file: FileBytes, limits: Limits, stream: str) -> Iterator[StreamScan]:
    """Follow the pickles in a row at the front of a file, and what hides behind them."""
    window = PickleWindow(file, limits)
    for count in range(_MAX_STREAMS):
        name = stream if not count else f"{stream}, pickle {count + 1}"
        attempt = window.read(name, nominal_storage)
        if not count or is_telling(attempt.scan):
            yield attempt.scan
        yield from follow_embedded(attempt, limits)
        if attempt.scan.error is not None:
            yield from scan_tail(file, limits, window.position + 1)
            return
        head = window.peek(HEAD_NBYTES)
        if not is_pickle_start(head) and not is_text_pickle_start(head):
            break
    yield from scan_tail(file, limits, window.position)


def scan_tail(file: FileBytes, limits: Limits, position: int) -> Iterator[StreamScan]:
    """Look for pickles from ``position`` on, where nothing says that there are any."""
    nbytes = min(_MAX_TAIL_NBYTES, file.nbytes - position)
    if nbytes > 0:
        yield from _resynced(file.read(position, nbytes), f"bytes from {position} on", limits)


def is_telling(scan: StreamScan) -> bool:
    """Chance makes pickles out of noise: only ones that name something readable count."""
    return any(
        _PLAIN_NAME.fullmatch(use.module) and _PLAIN_NAME.fullmatch(use.qualname)
        for use in scan.uses
    )


def _follow(
    data: bytes, stream: str, limits: Limits, start: int, nodes_for: int
) -> tuple[Attempt, int]:
    """Read one pickle as far as it goes; the offset after its STOP, if it has one."""
    tracer = Tracer(stream)
    error: ContainerError | None = None
    stop = start + 1
    try:
        _, stop = read_pickle(
            data,
            stream=stream,
            tracer=tracer,
            limits=limits,
            persistent=nominal_storage,
            start=start,
            nodes_for=max(nodes_for, len(data)),
        )
    except ContainerError as exc:
        error = exc
    return Attempt(None, tracer.scan(error), tuple(tracer.embedded)), stop


def _resynced(data: bytes, stream: str, limits: Limits) -> Iterator[StreamScan]:
    """The streams inside ``data`` that name something readable."""
    position, left = 0, _MAX_FOLLOWED_NBYTES
    for _ in range(_MAX_TRIES):
        hit = _RESYNC.search(data, position)
        if hit is None or left < 0:
            return
        left -= len(data) - hit.start()
        name = f"{stream}, a pickle inside it from byte {hit.start()} on"
        attempt, position = _follow(data, name, limits, hit.start(), 0)
        if is_telling(attempt.scan):
            yield attempt.scan
        # What was followed is not followed again: the next one begins behind its last new name.
        named = (use.offset for use in attempt.scan.uses)
        position = max(position, max(named, default=hit.start()) + 1)

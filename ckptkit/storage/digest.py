"""xxh3-128 of bytes, wherever they lie, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import xxhash

from ckptkit.nodes import ByteSource
from ckptkit.storage.crew import BLOCK_NBYTES, Lane, share_out
from ckptkit.storage.write_plan import Run, plan_runs

DIGEST_NBYTES = 16


def new_hasher() -> Any:
    """A fresh xxh3-128: ``update(buffer)``, ``digest()`` of 16 bytes, big-endian."""
    return xxhash.xxh3_128()


def digest_of_bytes(data: bytes | memoryview) -> bytes:
    """The digest of bytes at hand."""
    return xxhash.xxh3_128_digest(data)


def digest_of(source: ByteSource, scratch: memoryview | None = None) -> bytes:
    """The digest of every byte of ``source``, read in order through ``scratch``.

    Raises: what the source raises (ContainerError).
    """
    memory: memoryview | None = getattr(source, "memory", None)
    if memory is not None:
        return digest_of_bytes(memory)
    view = memoryview(bytearray(min(BLOCK_NBYTES, source.nbytes))) if scratch is None else scratch
    hasher = new_hasher()
    for start in range(0, source.nbytes, len(view) or 1):
        part = view[: min(len(view), source.nbytes - start)]
        source.read_into(start, part)
        hasher.update(part)
    return bytes(hasher.digest())


def digest_many(
    sources: Sequence[ByteSource],
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> list[bytes]:
    """The digests of many sources, several at a time; the first error stops all.

    Memory: one block a worker. Raises: what a source raises (ContainerError).
    """
    digests = [b""] * len(sources)
    sizes = [source.nbytes for source in sources]

    def work(run: Run, lane: Lane[Run]) -> None:
        for index in range(run.first, run.stop):
            digests[index] = _digest_in_lane(sources[index], lane)

    runs = plan_runs([sizes], [0], workers)
    share_out(runs, work, workers=workers, progress=progress)
    return digests


def _digest_in_lane(source: ByteSource, lane: Lane[Run]) -> bytes:
    nbytes = source.nbytes
    if nbytes <= BLOCK_NBYTES:
        view = lane.scratch[:nbytes]
        if nbytes:
            source.read_into(0, view)
        lane.advance(nbytes)
        return xxhash.xxh3_128_digest(view)
    hasher = new_hasher()
    memory: memoryview | None = getattr(source, "memory", None)
    for start in range(0, nbytes, BLOCK_NBYTES):
        if memory is not None:
            view = memory[start : start + BLOCK_NBYTES]
            hasher.update(view)
            lane.advance(len(view))
            continue
        view = lane.scratch[: min(BLOCK_NBYTES, nbytes - start)]
        source.read_into(start, view)
        hasher.update(view)
        lane.advance(len(view))
    return bytes(hasher.digest())


def first_difference(one: ByteSource, other: ByteSource) -> int | None:
    """The offset of the first byte in which two sources differ; None if they are equal.

    A source that is the beginning of the other differs where it ends.
    """
    shared = min(one.nbytes, other.nbytes)
    left, right = (memoryview(bytearray(min(BLOCK_NBYTES, shared))) for _ in range(2))
    for start in range(0, shared, BLOCK_NBYTES):
        nbytes = min(BLOCK_NBYTES, shared - start)
        one.read_into(start, left[:nbytes])
        other.read_into(start, right[:nbytes])
        if left[:nbytes] != right[:nbytes]:
            return start + next(i for i in range(nbytes) if left[i] != right[i])
    return None if one.nbytes == other.nbytes else shared

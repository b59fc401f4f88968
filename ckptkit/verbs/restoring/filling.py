"""Bring stored bytes into live memory: several threads, every digest checked on the way."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ckptkit.containers.bytesource import SlicedBytes
from ckptkit.containers.logical import logical_source
from ckptkit.errors import ChecksumError, ContainerError
from ckptkit.nodes import ByteSource, TensorNode
from ckptkit.storage.crew import Lane, share_out
from ckptkit.storage.digest import digest_of, digest_of_bytes, new_hasher
from ckptkit.torch_bridge.fill import copy_in_blocks, direct_address, mark_changed, memory_at
from ckptkit.torch_bridge.values import Fill
from ckptkit.verbs.restoring.digests import DigestBook
from ckptkit.verbs.restoring.fill_tasks import Converted, Large, Located, Run, Task, plan_tasks
from ckptkit.verbs.restoring.half_done import HALF_DONE

# Bytes that were just read are hashed while some of them are still near the processor: warm, the
# digests of 1 GB cost 0.05 s after reads of 256 or 512 KiB, 0.07 s after 1 MiB; cold all are equal.
READ_NBYTES = 512 << 10


def fill_all(
    fills: Sequence[Fill],
    book: DigestBook,
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Fill every tensor from the checkpoint; the first error stops all.

    Memory: 1 MiB a worker, and for tensors that are converted a few MiB more.
    Raises: ChecksumError and other ContainerErrors, naming the tensor and saying that the live
    objects are partly filled.
    """
    filler = _Filler(book)
    tasks = plan_tasks(fills, direct_address, filler.locate, filler.digest_of)
    try:
        share_out(tasks, filler.work, workers=workers, progress=progress)
    except ContainerError:
        raise
    except BaseException as exc:
        exc.add_note(f"ckptkit: {HALF_DONE}")
        raise
    finally:
        mark_changed(fill.tensor for fill in fills)


class _Filler:
    def __init__(self, book: DigestBook) -> None:
        self._book = book

    def locate(self, fill: Fill) -> Located:
        """Find the contiguous bytes of a stored tensor in the file that has them."""
        node = fill.node
        place = self._book.place(node) if node.rule is None else None
        if place is not None:
            return place
        source, digest = logical_source(node), self._book.of(node)
        if isinstance(source, SlicedBytes):
            return *source.below(), source.nbytes, digest
        return source, 0, source.nbytes, digest

    def digest_of(self, fill: Fill) -> bytes:
        """Return the digest of the stored tensor that the fill reads; b"" if it has none."""
        return self._book.of(fill.whole or fill.node)

    def work(self, task: Task, lane: Lane[Task]) -> None:
        """Do one task. Raises: ContainerError."""
        if isinstance(task, Run):
            self._run(task, lane)
            return
        fill = task.piece[-1] if isinstance(task, Large) else task.fill
        try:
            if isinstance(task, Large):
                self._large(task, lane)
            else:
                self._converted(task, lane)
        except ContainerError as exc:
            _raise_half_done(exc, fill)

    def _run(self, run: Run, lane: Lane[Task]) -> None:
        """Read neighbours in one call, and hand every one its part."""
        first = run.pieces[0][0]
        nbytes = max(start + size for start, _, size, _, _ in run.pieces) - first
        block = lane.scratch[:nbytes]
        try:
            run.source.read_into(first, block)
        except ContainerError as exc:
            _raise_half_done(exc, run.pieces[0][-1])
        below = ctypes.addressof(ctypes.c_char.from_buffer(block)) - first
        move = ctypes.memmove
        for start, address, size, digest, fill in run.pieces:
            if digest and digest_of_bytes(block[start - first : start - first + size]) != digest:
                _raise_damaged(fill)
            move(address, below + start, size)
        lane.advance(nbytes)

    def _large(self, task: Large, lane: Lane[Task]) -> None:
        """Read straight into the live memory, and hash what is there while it is warm."""
        start, address, nbytes, digest, fill = task.piece
        hasher = new_hasher() if digest else None
        view, source = memory_at(address, nbytes), task.source
        for at in range(0, nbytes, READ_NBYTES):
            block = view[at : at + READ_NBYTES]
            source.read_into(start + at, block)
            if hasher is not None:
                hasher.update(block)
            lane.advance(len(block))
        if hasher is not None and hasher.digest() != digest:
            _raise_damaged(fill)

    def _converted(self, task: Converted, lane: Lane[Task]) -> None:
        fill, digest = task
        source = logical_source(fill.node)
        hasher: Any = None
        if digest and fill.whole is not None:
            self._check(fill, fill.whole, digest, lane)
        elif digest:
            hasher = new_hasher()
        read_factor = None
        if fill.factor is not None:
            self._check(fill, fill.factor, self._book.of(fill.factor), lane)
            read_factor = logical_source(fill.factor).read_into

        def seen(view: memoryview) -> None:
            if hasher is not None:
                hasher.update(view)
            lane.advance(len(view))

        copy_in_blocks(fill, source.read_into, read_factor, seen)
        if hasher is not None and hasher.digest() != digest:
            _raise_damaged(fill)

    def _check(self, fill: Fill, node: TensorNode, digest: bytes, lane: Lane[Task]) -> None:
        """Hash a tensor of which only a part is copied, or whose bytes are multiplied in."""
        source: ByteSource = logical_source(node)
        if digest and digest_of(source, lane.scratch) != digest:
            _raise_damaged(fill)


def _raise_damaged(fill: Fill) -> NoReturn:
    raise ChecksumError(
        fill.where, "its bytes do not have the digest that was recorded when it was saved",
        "the bytes that were saved", HALF_DONE,
    )  # fmt: skip


def _raise_half_done(exc: ContainerError, fill: Fill) -> NoReturn:
    if exc.advice == HALF_DONE:
        raise exc
    seen = f"{exc.seen} ({exc.where})"
    raise type(exc)(fill.where, seen, exc.expected, HALF_DONE) from exc

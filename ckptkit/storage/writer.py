"""Write files in one pass: read a block, hash it, write it; several threads; synced at the end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_128, xxh3_128_digest

from ckptkit.errors import UnsafePathError
from ckptkit.nodes import ByteSource
from ckptkit.storage import kernel
from ckptkit.storage.crew import BLOCK_NBYTES, Lane, share_out
from ckptkit.storage.freespace import free_nbytes, storage_error
from ckptkit.storage.write_plan import Run, plan_runs

SMALL_NBYTES = 64 << 10  # smaller parts share one buffer and one write call
WRITEBACK_NBYTES = 8 << 20  # early write-back takes about 0.6 of the time: DESIGN section 9
MAX_OPEN_FILES = 128  # of one call; far below the usual limit of 1,024 descriptors
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileToWrite(NamedTuple):
    """A file to be: its header, then its parts back to back. ``name`` is relative, ``/`` inside."""

    name: str
    header: bytes
    parts: tuple[ByteSource, ...]


class FileWritten(NamedTuple):
    """A file that is on disk: its size, and the xxh3-128 of each part, in order."""

    name: str
    nbytes: int
    digests: tuple[bytes, ...]


def write_files(
    folder: Path,
    files: Sequence[FileToWrite],
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> list[FileWritten]:
    """Create the files below ``folder``, synced; on any error they are removed again.

    The names themselves become durable when ``Stage.commit`` syncs the folders. A part is read
    in order by one thread. Memory: one block of 1 MiB a worker.
    Units: ``progress`` gets the bytes of parts, about 20 times a second, in the calling thread.
    Raises: DiskFullError, WriteFailedError, AccessDeniedError, NotFoundError; UnsafePathError for
    a name that leaves the folder; what a part raises, unchanged.
    """
    for file in files:
        _require_inside(folder, file.name)
    needed = sum(len(file.header) + sum(part.nbytes for part in file.parts) for file in files)
    written: list[FileWritten] = []
    try:
        for start in range(0, len(files), MAX_OPEN_FILES):
            group = files[start : start + MAX_OPEN_FILES]
            written += _Group(folder, group, needed).write(workers, progress)
    except BaseException:
        for done in written:
            with suppress(OSError):
                (folder / done.name).unlink()
        raise
    return written


def _require_inside(folder: Path, name: str) -> None:
    steps = name.split("/")
    if not name or "\0" in name or any(step in ("", ".", "..") for step in steps):
        raise UnsafePathError(folder, f"{name!r} is no name for a file", "a path inside the folder")


class _Output:
    """One open file: its descriptor, the digests so far, the runs that are left."""

    def __init__(self, path: Path, spec: FileToWrite) -> None:
        self.path, self.spec, self.fd = path, spec, -1
        self.sizes = [part.nbytes for part in spec.parts]
        self.nbytes = len(spec.header) + sum(self.sizes)
        self.digests = [b""] * len(self.sizes)
        self.runs_left = 0


class _Group:
    """The files that are open at the same time."""

    def __init__(self, folder: Path, files: Sequence[FileToWrite], needed_nbytes: int) -> None:
        self._folder, self._needed = folder, needed_nbytes
        self._outputs = [_Output(folder / file.name, file) for file in files]
        self._lock = threading.Lock()

    def write(self, workers: int, progress: Callable[[int], None] | None) -> list[FileWritten]:
        outputs = self._outputs
        headers = [len(output.spec.header) for output in outputs]
        runs = plan_runs([output.sizes for output in outputs], headers, workers)
        for run in runs:
            outputs[run.file].runs_left += 1
        with ExitStack() as created:
            for output in outputs:
                self._create(output, created)
            share_out(runs, self._write_run, workers=workers, progress=progress)
            for output in outputs:
                self._close(output)
            created.pop_all()
        return [FileWritten(o.spec.name, o.nbytes, tuple(o.digests)) for o in outputs]

    def _create(self, output: _Output, created: ExitStack) -> None:
        with self._named_errors(output):
            if "/" in output.spec.name:
                output.path.parent.mkdir(parents=True, exist_ok=True)
            output.fd = os.open(output.path, CREATE, 0o666)
            created.callback(_discard, output)
            kernel.allocate(output.fd, output.nbytes)
            _write_all(output.fd, memoryview(output.spec.header), 0)

    def _close(self, output: _Output) -> None:
        with self._named_errors(output):
            fd, output.fd = output.fd, -1
            os.close(fd)  # network file systems report a failed write only here

    def _write_run(self, run: Run, lane: Lane[Run]) -> None:
        output = self._outputs[run.file]
        sink = _Sink(self, output, run.offset, lane)
        for index in range(run.first, run.stop):
            part, nbytes = output.spec.parts[index], output.sizes[index]
            if nbytes < SMALL_NBYTES:
                output.digests[index] = sink.take_small(part, nbytes)
            else:
                output.digests[index] = sink.take_large(part, nbytes)
        sink.flush()
        sink.write_back()
        with self._lock:
            output.runs_left -= 1
            last = output.runs_left == 0
        if last:
            with self._named_errors(output):
                kernel.sync(output.fd)

    def put(self, output: _Output, view: memoryview, offset: int) -> None:
        """Write all of ``view`` at ``offset``."""
        with self._named_errors(output):
            _write_all(output.fd, view, offset)

    @contextmanager
    def _named_errors(self, output: _Output) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise storage_error(exc, output.path, self._needed, self._free()) from exc

    def _free(self) -> int | None:
        """Bytes that were free for us: those that are left, and those that we took."""
        free = free_nbytes(self._folder)
        if free is None:
            return None
        return free + sum(os.fstat(o.fd).st_blocks * 512 for o in self._outputs if o.fd >= 0)


class _Sink:
    """The bytes of one run on their way to the disk, through one lane's buffer."""

    def __init__(self, group: _Group, output: _Output, offset: int, lane: Lane[Run]) -> None:
        self._group, self._output, self._lane = group, output, lane
        self._offset, self._filled, self._started = offset, 0, offset

    def take_small(self, part: ByteSource, nbytes: int) -> bytes:
        """Read a part behind its predecessors in the buffer."""
        if self._filled + nbytes > BLOCK_NBYTES:
            self.flush()
        view = self._lane.scratch[self._filled : self._filled + nbytes]
        if nbytes:
            part.read_into(0, view)
        self._filled += nbytes
        return xxh3_128_digest(view)

    def take_large(self, part: ByteSource, nbytes: int) -> bytes:
        """Read, hash and write a part block by block; from memory without a copy."""
        self.flush()
        hasher = xxh3_128()
        memory: memoryview | None = getattr(part, "memory", None)
        if memory is not None:
            for start in range(0, nbytes, BLOCK_NBYTES):
                view = memory[start : start + BLOCK_NBYTES]
                hasher.update(view)
                self._put(view)
            return hasher.digest()
        for start in range(0, nbytes, BLOCK_NBYTES):
            self._filled = min(BLOCK_NBYTES, nbytes - start)
            view = self._lane.scratch[: self._filled]
            part.read_into(start, view)
            hasher.update(view)
            self.flush()
        return hasher.digest()

    def flush(self) -> None:
        """Write what the buffer holds."""
        nbytes, self._filled = self._filled, 0
        self._put(self._lane.scratch[:nbytes])

    def _put(self, view: memoryview) -> None:
        if view:
            self._group.put(self._output, view, self._offset)
            self._offset += len(view)
            if self._offset - self._started >= WRITEBACK_NBYTES:
                self.write_back()
        self._lane.advance(len(view))

    def write_back(self) -> None:
        """Have the system begin with what was written since the last time."""
        if self._offset > self._started:
            kernel.start_writeback(self._output.fd, self._started, self._offset - self._started)
            self._started = self._offset


def _write_all(fd: int, view: memoryview, offset: int) -> None:
    while view:
        nbytes = os.pwrite(fd, view[:BLOCK_NBYTES], offset)
        view, offset = view[nbytes:], offset + nbytes


def _discard(output: _Output) -> None:
    """Close and remove a file of a failed write."""
    if output.fd >= 0:
        with suppress(OSError):
            os.close(output.fd)
        output.fd = -1
    with suppress(OSError):
        output.path.unlink()

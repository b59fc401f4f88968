"""Writing an export: whole or absent, and read back before it gets its name."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.lazy_file import LazyFile
from ckptkit.containers.logical import logical_source
from ckptkit.errors import MigrationError
from ckptkit.nodes import ByteSource, TensorNode
from ckptkit.storage.atomic import stage
from ckptkit.storage.crew import BLOCK_NBYTES, Lane, share_out
from ckptkit.storage.digest import digest_many, digest_of_bytes
from ckptkit.storage.write_plan import Run, plan_runs
from ckptkit.storage.writer import FileToWrite, FileWritten, write_files
from ckptkit.tree import first_difference, path_text, walk
from ckptkit.types import Limits
from ckptkit.verbs.exporting.target import check_free
from ckptkit.verbs.exporting.torch_file import zip_layout
from ckptkit.verbs.exporting.values import ExportOptions, ExportPlan, PlannedOutput
from ckptkit.verbs.open import open_container

RESERVE_NBYTES = 64 << 10  # asked for beyond the data, for folders


def write(plan: ExportPlan, target: FilePath, options: ExportOptions) -> None:
    """Write every file beside the target, read all of it back, and only then give it its name.

    Raises: StorageError, TargetExistsError; what the sources raise; MigrationError if what was
    read back differs. After any error the target is as it was.
    """
    needed = sum(output_nbytes(output) for output in plan.outputs) + RESERVE_NBYTES
    is_file = not plan.is_folder
    with stage(target, replace=options.replace, needed_nbytes=needed, is_file=is_file) as staged:
        folder = staged.path if plan.is_folder else staged.path.parent
        if options.started is not None:
            options.started(sum(_n_passes(o) * o.parts_nbytes for o in plan.outputs))
        files = [_to_write(output, options) for output in plan.outputs]
        written = write_files(folder, files, workers=options.workers, progress=options.progress)
        for output, file in zip(plan.outputs, written, strict=True):
            _prove(folder, output, file, options)
        # Once more: in the time that writing took, anybody may have put something there.
        check_free(target, plan, replace=options.replace, limits=options.limits)
        staged.commit()


def output_nbytes(output: PlannedOutput) -> int:
    """Bytes of the whole file."""
    around = zip_layout(output).nbytes if output.entries else len(output.header)
    return around + output.parts_nbytes


def _n_passes(output: PlannedOutput) -> int:
    """How often all bytes are read: for checksums, to write, to prove."""
    return 3 if output.entries else 2


def _to_write(output: PlannedOutput, options: ExportOptions) -> FileToWrite:
    if not output.entries:
        return FileToWrite(output.name, output.header, output.parts)
    layout = zip_layout(output, crc32_many(output.parts, options.workers, options.progress))
    parts: list[ByteSource] = []
    for head, part in zip(layout.heads, output.parts, strict=True):
        parts += [MemoryBytes(head), part]
    return FileToWrite(output.name, b"", (*parts, MemoryBytes(layout.tail)))


def crc32_many(
    sources: Sequence[ByteSource], workers: int, progress: Callable[[int], None] | None
) -> list[int]:
    """The CRC-32s of many sources, several at a time; memory: one block a worker."""
    found = [0] * len(sources)

    def work(run: Run, lane: Lane[Run]) -> None:
        for index in range(run.first, run.stop):
            source, crc = sources[index], 0
            for start in range(0, source.nbytes, BLOCK_NBYTES):
                view = lane.scratch[: min(BLOCK_NBYTES, source.nbytes - start)]
                source.read_into(start, view)
                crc = zlib.crc32(view, crc)
                lane.advance(len(view))
            found[index] = crc

    runs = plan_runs([[source.nbytes for source in sources]], [0], workers)
    share_out(runs, work, workers=workers, progress=progress)
    return found


# -- the proof ------------------------------------------------------------------------------------


def _prove(
    folder: FilePath, output: PlannedOutput, written: FileWritten, options: ExportOptions
) -> None:
    """Open what was written as any file, and compare names, forms and the digest of every byte."""
    digests = written.digests[1::2] if output.entries else written.digests
    path = folder / output.name
    if output.kind != "weights":
        whole = LazyFile(path, output_nbytes(output))
        wanted = digests[0] if output.parts else digest_of_bytes(output.header)
        _require(digest_many([whole], progress=options.progress) == [wanted], path)
        return
    expected = {id(node): digests[part] for node, part in output.tensors}
    with ExitStack() as held:
        opened = open_container(path, _trusting(options.limits, output))
        held.callback(opened.close)
        found = [node for _, node in walk(opened.root) if isinstance(node, TensorNode)]
        views = {node.same_view(): node for node in found if node.storage.source is not None}
        again = digest_many(
            [logical_source(node) for node in views.values()],
            workers=options.workers, progress=options.progress,
        )  # fmt: skip
        read = dict(zip(views, again, strict=True))

        def same(one: TensorNode, other: TensorNode) -> bool:
            return expected.get(id(one)) == read.get(other.same_view())

        place = first_difference(output.tree, opened.root, same)
        _require(place is None, f"{path}/{path_text(place or ())}")


def _trusting(limits: Limits, output: PlannedOutput) -> Limits:
    """The limits are for strangers' files; this one we have just written."""
    from dataclasses import replace

    n_nodes = 16 * len(output.tensors) + limits.base_nodes
    header = max(limits.max_header_nbytes, len(output.header))
    return replace(limits, base_nodes=2 * n_nodes, max_header_nbytes=header)


def _require(is_same: bool, where: object) -> None:
    if not is_same:
        raise MigrationError(
            where, "reads back different from what was written", "the same bytes",
            "the disk or its memory is failing: choose another destination",
        )  # fmt: skip

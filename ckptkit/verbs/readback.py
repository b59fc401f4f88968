"""The parts of files that were just staged, as sources to read them back from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes, SlicedBytes
from ckptkit.containers.lazy_file import LazyFile
from ckptkit.nodes import ByteSource
from ckptkit.verbs.layout import PlannedFile


@contextmanager
def staged_sources(
    folder: FilePath, files: Sequence[PlannedFile]
) -> Iterator[list[tuple[str, ByteSource]]]:
    """Every part of every file, named, in the order in which they were written.

    A data file, of which there is one a section, stays open; a side file, of which there may be
    more than a process may have descriptors, is open only while it is read.
    """
    with ExitStack() as opened:
        sources: list[tuple[str, ByteSource]] = []
        for file in files:
            if file.blob is not None:
                sources.append((file.name, LazyFile(folder / file.name, file.nbytes)))
                continue
            data = opened.enter_context(FileBytes(folder / file.name))
            for name, span in zip(file.names, file.spans, strict=True):
                sources.append((name, SlicedBytes(data, span.start, span.nbytes)))
        yield sources

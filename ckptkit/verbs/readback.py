"""The parts of files that were just staged, as sources to read them back from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes, SlicedBytes
from ckptkit.nodes import ByteSource
from ckptkit.types import ByteSpan
from ckptkit.verbs.layout import PlannedFile


@contextmanager
def staged_sources(
    folder: FilePath, files: Sequence[PlannedFile]
) -> Iterator[list[tuple[str, ByteSource]]]:
    """Every part of every file, named, in the order in which they were written."""
    with ExitStack() as opened:
        sources: list[tuple[str, ByteSource]] = []
        for file in files:
            data = opened.enter_context(FileBytes(folder / file.name))
            whole = file.blob is not None
            spans = (ByteSpan(0, file.nbytes),) if whole else file.spans
            names = (file.name,) if whole else file.names
            for name, span in zip(names, spans, strict=True):
                sources.append((name, SlicedBytes(data, span.start, span.nbytes)))
        yield sources

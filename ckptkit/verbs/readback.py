"""The proof of a staged folder: its bytes and its document, read back and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from ckptkit.containers.bytesource import FileBytes, SlicedBytes
from ckptkit.containers.lazy_file import LazyFile
from ckptkit.errors import MigrationError
from ckptkit.nodes import ByteSource
from ckptkit.schema import MANIFEST_NAME, parse_manifest
from ckptkit.storage.digest import digest_many
from ckptkit.storage.writer import FileWritten
from ckptkit.tree import first_difference, path_text, unflatten
from ckptkit.verbs.layout import PlannedFile

if TYPE_CHECKING:  # seal.py imports this module
    from ckptkit.verbs.seal import SealPlan


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


def prove_bytes(
    folder: FilePath,
    files: Sequence[PlannedFile],
    written: Sequence[FileWritten],
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Read every part back and compare it with the digest of what was read from the source.

    Raises: MigrationError.
    """
    with staged_sources(folder, files) as sources:
        again = digest_many([source for _, source in sources], workers=workers, progress=progress)
    first = [digest for file in written for digest in file.digests]
    for (name, _), digest, other in zip(sources, first, again, strict=True):
        if digest != other:
            raise MigrationError(
                folder, f"{name} reads back different from what was written",
                "the same bytes", "the disk or its memory is failing: choose another destination",
            )  # fmt: skip


def prove_document(plan: SealPlan, manifest: bytes) -> None:
    """Decode the manifest's bytes again and compare every section, to the bit.

    Raises: MigrationError.
    """
    parsed = parse_manifest(manifest, MANIFEST_NAME, plan.limits)
    for entry in parsed.sections:
        again = unflatten(entry.tokens, plan.flat.leaves, plan.limits, entry.name)
        place = first_difference(plan.document[entry.name], again)
        if place is not None:
            raise MigrationError(
                f"{entry.name}/{path_text(place)}", "is not the same after it was written as data",
                "the same value", "report this with the file that shows it",
            )  # fmt: skip

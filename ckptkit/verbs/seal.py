"""Writing a document as a sealed v2 folder: the last half of `migrate` and of `save`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.logical import logical_source
from ckptkit.errors import MigrationError
from ckptkit.nodes import BlobNode, ByteSource, MapNode, TensorNode
from ckptkit.schema import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    SectionEntry,
    SharedStorage,
    TensorRow,
    TensorTable,
    dump_manifest,
    parse_manifest,
)
from ckptkit.schema.validate import check_file_name
from ckptkit.storage.atomic import stage
from ckptkit.storage.digest import digest_many, digest_of_bytes
from ckptkit.storage.writer import FileToWrite, FileWritten, write_files
from ckptkit.tree import FlatSections, first_difference, flatten_sections, path_text, unflatten
from ckptkit.types import DEFAULT_LIMITS, ByteSpan, Limits, contiguous_strides
from ckptkit.verbs.layout import META_FLAVOUR, PlannedFile, plan_files
from ckptkit.verbs.readback import staged_sources
from ckptkit.verbs.targets import check_replaceable
from ckptkit.version import __version__

WRITER = f"ckptkit {__version__}"
MANIFEST_RESERVE_NBYTES = 64 << 10  # asked for beyond the data, for folders and the manifest
MANIFEST_ROW_NBYTES = 256  # of a tensor's row in the manifest, generously


class SealedFile(NamedTuple):
    """One file of the folder, as a report shows it."""

    name: str
    kind: str
    nbytes: int
    tensors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What lies, or with a dry run would lie, in the folder. Units: bytes."""

    files: tuple[SealedFile, ...]
    sections: tuple[str, ...]
    tensors: int
    tensor_nbytes: int
    proved: bool = False
    old_left: FilePath | None = None  # the replaced checkpoint, where it could not be removed


@dataclass(frozen=True, slots=True, kw_only=True)
class SealOptions:
    """How to write; the callbacks as in ``MigrateOptions``."""

    replace: bool = False
    created: str = ""
    workers: int = 2
    started: Callable[[int], None] | None = None
    progress: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPlan:
    """A document, flattened and laid out; nothing was read or written yet."""

    document: MapNode
    flat: FlatSections
    files: tuple[PlannedFile, ...]
    limits: Limits = DEFAULT_LIMITS

    @property
    def renamed_files(self) -> dict[str, str]:
        """Safe name -> original one, of the files that may not keep theirs."""
        blobs = [(file.name, file.blob.name) for file in self.files if file.blob is not None]
        return {safe: name for safe, name in blobs if safe != name}

    @property
    def needed_nbytes(self) -> int:
        """Bytes that the folder will take."""
        rows = len(self.flat.leaves) * MANIFEST_ROW_NBYTES
        return sum(file.nbytes for file in self.files) + rows + MANIFEST_RESERVE_NBYTES

    def as_sealing(self, *, proved: bool = False) -> Sealing:
        """The report of this plan."""
        rows = tuple(SealedFile(f.name, f.kind, f.nbytes, len(f.leaves)) for f in self.files)
        leaves = [leaf for leaf in self.flat.leaves if isinstance(leaf, TensorNode)]
        return Sealing(
            files=rows,
            sections=tuple(self.flat.tokens),
            tensors=len(leaves),
            tensor_nbytes=sum(leaf.nbytes for leaf in leaves),
            proved=proved,
        )


def plan_seal(
    document: MapNode, side_files: Sequence[BlobNode] = (), limits: Limits = DEFAULT_LIMITS
) -> SealPlan:
    """Decide what goes where. Pure.

    Raises: UnrepresentableError, LimitExceededError; UnsafePathError for a section whose name
    cannot be that of a file.
    """
    flat = flatten_sections(document, limits)
    files = plan_files(document, flat, side_files)
    for file in files:
        check_file_name(file.name, "the plan")
    return SealPlan(document=document, flat=flat, files=tuple(files), limits=limits)


def seal(plan: SealPlan, target: FilePath, options: SealOptions) -> Sealing:
    """Write the folder, prove it by reading it back, and only then give it its name.

    Raises: StorageError, TargetExistsError; what the sources raise; MigrationError if what was
    read back differs. After any error the target is as it was.
    """
    with stage(target, replace=options.replace, needed_nbytes=plan.needed_nbytes) as staged:
        files = [_file_to_write(plan, file) for file in plan.files]
        if options.started is not None:
            options.started(2 * sum(part.nbytes for file in files for part in file.parts))
        written = write_files(
            staged.path, files, workers=options.workers, progress=options.progress
        )
        _prove_bytes(staged.path, plan, written, options)
        manifest = dump_manifest(_manifest(plan, written, options.created))
        _prove_document(plan, manifest)
        staged.write_last(MANIFEST_NAME, manifest)
        # Once more: in the time that writing took, anybody may have put something there.
        check_replaceable(target, replace=options.replace, limits=plan.limits)
        staged.commit()
    return replace(plan.as_sealing(proved=True), old_left=staged.left_behind)


def _file_to_write(plan: SealPlan, file: PlannedFile) -> FileToWrite:
    if file.blob is not None:
        return FileToWrite(file.name, b"", (file.blob.source,))
    return FileToWrite(file.name, file.header, tuple(_source(plan, n) for n in file.leaves))


def _source(plan: SealPlan, number: int) -> ByteSource:
    leaf = plan.flat.leaves[number]
    assert isinstance(leaf, TensorNode)
    return logical_source(leaf)


def _prove_bytes(
    folder: FilePath, plan: SealPlan, written: list[FileWritten], options: SealOptions
) -> None:
    """Read every part back and compare it with the digest of what was read from the source."""
    with staged_sources(folder, plan.files) as sources:
        again = digest_many(
            [source for _, source in sources], workers=options.workers, progress=options.progress
        )
    first = [digest for file in written for digest in file.digests]
    for (name, _), digest, other in zip(sources, first, again, strict=True):
        if digest != other:
            raise MigrationError(
                folder, f"{name} reads back different from what was written",
                "the same bytes", "the disk or its memory is failing: choose another destination",
            )  # fmt: skip


def _prove_document(plan: SealPlan, manifest: bytes) -> None:
    """Decode the manifest's bytes again and compare every section, to the bit."""
    parsed = parse_manifest(manifest, MANIFEST_NAME, plan.limits)
    for entry in parsed.sections:
        again = unflatten(entry.tokens, plan.flat.leaves, plan.limits, entry.name)
        place = first_difference(plan.document[entry.name], again)
        if place is not None:
            raise MigrationError(
                f"{entry.name}/{path_text(place)}", "is not the same after it was written as data",
                "the same value", "report this with the file that shows it",
            )  # fmt: skip


def _manifest(plan: SealPlan, written: list[FileWritten], created: str) -> Manifest:
    return Manifest(
        writer=WRITER,
        created=created,
        sections=[SectionEntry(name, 1, tokens) for name, tokens in plan.flat.tokens.items()],
        tensors=TensorTable.of(_rows(plan, written), _shared(plan)),
        files=[
            FileEntry(
                file.name,
                file.nbytes,
                file.kind,
                out.digests[0] if file.kind == "side" else digest_of_bytes(file.header),
            )
            for file, out in zip(plan.files, written, strict=True)
        ],
    )


def _rows(plan: SealPlan, written: list[FileWritten]) -> list[TensorRow]:
    """The table's rows, in the order of the leaves."""
    places = {
        number: (index, name, span, digest)
        for index, (file, out) in enumerate(zip(plan.files, written, strict=True))
        for number, name, span, digest in zip(
            file.leaves, file.names, file.spans, out.digests[: len(file.leaves)], strict=True
        )
    }
    nowhere = (-1, "", ByteSpan(0, 0), bytes(16))
    return [_row(leaf, *places.get(n, nowhere)) for n, leaf in enumerate(plan.flat.leaves)]


def _row(
    leaf: TensorNode | BlobNode, file: int, name: str, span: ByteSpan, digest: bytes
) -> TensorRow:
    if isinstance(leaf, BlobNode):
        return TensorRow(name, "uint8", (leaf.nbytes,), file, span, digest, "blob")
    return TensorRow(
        name=name,
        dtype=leaf.dtype.name,
        shape=leaf.shape,
        file=file,
        span=span,
        digest=digest,
        flavour=leaf.flavour,
        requires_grad=leaf.requires_grad,
        numpy_dtype=leaf.numpy_dtype,
        device=leaf.storage.device,
        strides=None if leaf.strides == contiguous_strides(leaf.shape) else leaf.strides,
    )


def _shared(plan: SealPlan) -> list[SharedStorage]:
    """The storages into which several leaves looked without being ties."""
    groups: dict[int, list[int]] = {}
    for number, leaf in enumerate(plan.flat.leaves):
        if isinstance(leaf, TensorNode) and leaf.flavour != META_FLAVOUR:
            groups.setdefault(id(leaf.storage), []).append(number)
    shared = []
    for numbers in groups.values():
        if len(numbers) > 1:
            leaves = [plan.flat.leaves[number] for number in numbers]
            views = tuple(
                (n, leaf.offset)
                for n, leaf in zip(numbers, leaves, strict=True)
                if isinstance(leaf, TensorNode)
            )
            first = leaves[0]
            assert isinstance(first, TensorNode)
            shared.append(SharedStorage(first.storage.nbytes, views))
    return shared

"""Writing a document as a sealed v2 folder: the last half of `migrate` and of `save`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.logical import logical_source
from ckptkit.nodes import BlobNode, ByteSource, MapNode, TensorNode
from ckptkit.schema import MANIFEST_NAME, dump_manifest
from ckptkit.schema.validate import check_file_name
from ckptkit.storage.atomic import stage
from ckptkit.storage.linking import FileIdentity, link_unchanged
from ckptkit.storage.writer import FileToWrite, FileWritten, write_files
from ckptkit.tree import FlatSections, flatten_sections
from ckptkit.types import DEFAULT_LIMITS, Limits
from ckptkit.verbs.layout import PlannedFile, plan_files
from ckptkit.verbs.manifest_rows import UNLABELLED, Label, manifest_of
from ckptkit.verbs.readback import prove_bytes, prove_document
from ckptkit.verbs.targets import FROM_SHELL, Words, check_replaceable

MANIFEST_RESERVE_NBYTES = 64 << 10  # asked for beyond the data, for folders and the manifest
MANIFEST_ROW_NBYTES = 256  # of a tensor's row in the manifest, generously


class SealedFile(NamedTuple):
    """One file of the folder, as a report shows it.

    ``linked``: not written, but shared with an older checkpoint.
    """

    name: str
    kind: str
    nbytes: int
    tensors: int
    linked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What lies, or with a dry run would lie, in the folder. Units: bytes."""

    files: tuple[SealedFile, ...]
    sections: tuple[str, ...]
    tensors: int
    tensor_nbytes: int
    proved: bool = False
    manifest_nbytes: int = 0
    digest: str = ""  # the manifest's, in hex
    old_left: FilePath | None = None  # the replaced checkpoint, where it could not be removed


class Unchanged(NamedTuple):
    """A file of an older checkpoint that holds the very bytes that one of ours is to hold.

    ``digests`` are those of its parts, in the order of the plan.
    """

    path: FilePath
    identity: FileIdentity
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealOptions:
    """How to write; the callbacks as in ``MigrateOptions``.

    ``prove``: read everything back before the checkpoint gets its name. ``unchanged``: files to
    link instead of writing them, by name; those that cannot be linked are written all the same.
    """

    replace: bool = False
    words: Words = FROM_SHELL  # in which a caller who may not replace is told so
    label: Label = UNLABELLED
    prove: bool = True
    unchanged: Mapping[str, Unchanged] | None = None
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

    def source(self, number: int) -> ByteSource:
        """The bytes of one leaf as they are stored."""
        leaf = self.flat.leaves[number]
        return leaf.source if isinstance(leaf, BlobNode) else logical_source(leaf)

    def as_sealing(self, *, proved: bool = False, linked: Collection[str] = ()) -> Sealing:
        """The report of this plan."""
        rows = tuple(
            SealedFile(f.name, f.kind, f.nbytes, len(f.leaves), f.name in linked)
            for f in self.files
        )
        leaves = [leaf for leaf in self.flat.leaves if isinstance(leaf, TensorNode)]
        return Sealing(
            files=rows,
            sections=tuple(self.flat.tokens),
            tensors=len(leaves),
            tensor_nbytes=sum(leaf.nbytes for leaf in leaves),
            proved=proved,
        )


def plan_seal(
    document: MapNode,
    side_files: Sequence[BlobNode] = (),
    limits: Limits = DEFAULT_LIMITS,
    split: Collection[str] = (),
) -> SealPlan:
    """Decide what goes where. Pure.

    ``split``: sections whose frozen parameters get a file of their own, if others train.
    Raises: UnrepresentableError, LimitExceededError; UnsafePathError for a section whose name
    cannot be that of a file.
    """
    flat = flatten_sections(document, limits)
    files = plan_files(document, flat, side_files, split)
    for file in files:
        check_file_name(file.name, "the plan")
    return SealPlan(document=document, flat=flat, files=tuple(files), limits=limits)


def seal(plan: SealPlan, target: FilePath, options: SealOptions) -> Sealing:
    """Write the folder, prove it if asked by reading it back, and only then give it its name.

    Raises: StorageError, TargetExistsError; what the sources raise; MigrationError if what was
    read back differs. After any error the target is as it was.
    """
    unchanged = options.unchanged or {}
    spared = sum(file.nbytes for file in plan.files if file.name in unchanged)
    needed = plan.needed_nbytes - spared
    with stage(target, replace=options.replace, needed_nbytes=needed) as staged:
        linked = _link(staged.path, plan, unchanged)
        written = _write(staged.path, plan, linked, options)
        if options.prove:
            prove_bytes(
                staged.path, plan.files, written,
                workers=options.workers, progress=options.progress,
            )  # fmt: skip
        manifest = dump_manifest(manifest_of(plan.flat, plan.files, written, options.label))
        if options.prove:
            prove_document(plan, manifest)
        staged.write_last(MANIFEST_NAME, manifest)
        # Once more: in the time that writing took, anybody may have put something there.
        check_replaceable(target, replace=options.replace, limits=plan.limits, words=options.words)
        staged.commit()
    sealing = plan.as_sealing(proved=options.prove, linked=linked)
    return replace(
        sealing,
        manifest_nbytes=len(manifest),
        digest=manifest[-16:].hex(),
        old_left=staged.left_behind,
    )


def _link(
    folder: FilePath, plan: SealPlan, unchanged: Mapping[str, Unchanged]
) -> dict[str, FileWritten]:
    linked = {}
    for file in plan.files:
        old = unchanged.get(file.name)
        if old is not None and link_unchanged(old.path, folder / file.name, old.identity):
            linked[file.name] = FileWritten(file.name, file.nbytes, old.digests)
    return linked


def _write(
    folder: FilePath, plan: SealPlan, linked: Mapping[str, FileWritten], options: SealOptions
) -> list[FileWritten]:
    """Write what was not linked; return what is known of all files, in the order of the plan."""
    files = [_file_to_write(plan, file) for file in plan.files if file.name not in linked]
    if options.started is not None:
        times = 2 if options.prove else 1
        options.started(times * sum(part.nbytes for file in files for part in file.parts))
    new = iter(write_files(folder, files, workers=options.workers, progress=options.progress))
    return [linked.get(file.name) or next(new) for file in plan.files]


def _file_to_write(plan: SealPlan, file: PlannedFile) -> FileToWrite:
    if file.blob is not None:
        return FileToWrite(file.name, b"", (file.blob.source,))
    return FileToWrite(file.name, file.header, tuple(map(plan.source, file.leaves)))

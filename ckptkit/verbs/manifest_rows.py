"""What the manifest says of a plan and of the files that were written by it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ckptkit.nodes import BlobNode, TensorNode
from ckptkit.schema import (
    FileEntry,
    Manifest,
    SectionEntry,
    SharedStorage,
    TensorRow,
    TensorTable,
)
from ckptkit.storage.digest import digest_of_bytes
from ckptkit.storage.writer import FileWritten
from ckptkit.tree import FlatSections
from ckptkit.types import ByteSpan, contiguous_strides
from ckptkit.verbs.layout import META_FLAVOUR, PlannedFile
from ckptkit.version import __version__

WRITER = f"ckptkit {__version__}"


class Label(NamedTuple):
    """What the caller says of a checkpoint: when, by whom, and the versions of its layouts.

    ``unknown``: fields of a manifest that is rewritten, which nobody knows here.
    """

    created: str = ""
    trainer: str = ""
    versions: Mapping[str, int] = {}
    unknown: Mapping[str, Any] = {}


UNLABELLED = Label()


def manifest_of(
    flat: FlatSections, files: Sequence[PlannedFile], written: Sequence[FileWritten], label: Label
) -> Manifest:
    """Join the tree, the plan of the files and the digests of what was written."""
    return Manifest(
        writer=WRITER,
        created=label.created,
        trainer=label.trainer,
        unknown=label.unknown,
        sections=[
            SectionEntry(name, label.versions.get(name, 1), tokens)
            for name, tokens in flat.tokens.items()
        ],
        tensors=TensorTable.of(_rows(flat, files, written), _shared(flat)),
        files=[
            FileEntry(
                file.name,
                file.nbytes,
                file.kind,
                digest_of_bytes(file.header) if file.blob is None else out.digests[0],
            )
            for file, out in zip(files, written, strict=True)
        ],
    )


def _rows(
    flat: FlatSections, files: Sequence[PlannedFile], written: Sequence[FileWritten]
) -> list[TensorRow]:
    """The table's rows, in the order of the leaves."""
    nowhere = (-1, "", ByteSpan(0, 0), bytes(16))
    places = [nowhere] * len(flat.leaves)
    for index, (file, out) in enumerate(zip(files, written, strict=True)):
        digests = out.digests[: len(file.leaves)]  # an index has one, and no leaf
        for number, name, span, digest in zip(
            file.leaves, file.names, file.spans, digests, strict=True
        ):
            places[number] = (index, name, span, digest)
    return [_row(leaf, *place) for leaf, place in zip(flat.leaves, places, strict=True)]


def _row(
    leaf: TensorNode | BlobNode, file: int, name: str, span: ByteSpan, digest: bytes
) -> TensorRow:
    if isinstance(leaf, BlobNode):
        return TensorRow(name, "uint8", (leaf.nbytes,), file, span, digest, "blob")
    return TensorRow(
        name,
        leaf.dtype.name,
        leaf.shape,
        file,
        span,
        digest,
        leaf.flavour,
        leaf.requires_grad,
        leaf.numpy_dtype,
        leaf.storage.device,
        None if leaf.strides == contiguous_strides(leaf.shape) else leaf.strides,
    )


def _shared(flat: FlatSections) -> list[SharedStorage]:
    """The storages into which several leaves looked without being ties."""
    groups: dict[int, list[tuple[int, TensorNode]]] = {}
    for number, leaf in enumerate(flat.leaves):
        if isinstance(leaf, TensorNode) and leaf.flavour != META_FLAVOUR:
            groups.setdefault(id(leaf.storage), []).append((number, leaf))
    return [
        SharedStorage(group[0][1].storage.nbytes, tuple((n, leaf.offset) for n, leaf in group))
        for group in groups.values()
        if len(group) > 1
    ]

"""A sealed folder, file by file and digest by digest: what of it is as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.folder_scan import inner_file, scan_folder
from ckptkit.containers.lazy_file import LazyFile
from ckptkit.containers.salvage import Findings, Gone
from ckptkit.errors import (
    ChecksumError,
    ContainerError,
    LimitExceededError,
    ManifestError,
    NewerSchemaError,
    TruncatedFileError,
)
from ckptkit.nodes import BlobNode, ByteSource, MapNode, TensorNode
from ckptkit.protocols import Opened
from ckptkit.schema import Manifest, parse_manifest
from ckptkit.storage.digest import digest_many
from ckptkit.tree import unflatten
from ckptkit.types import MANIFEST_NAME, SEALED_CONTAINER, Limits
from ckptkit.verbs.manifest_rows import Label
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.recovering.found import Found
from ckptkit.verbs.sealed import leaf_of

_BATCH_NBYTES = 64 << 20  # hashed by several threads before the next report of progress
_BATCH_COUNT = 4096
_NO_DIGEST = bytes(16)
_DAMAGED = "its bytes do not have the digest that the manifest has of them"
_FROZEN_END = "-frozen.safetensors"


def read_manifest_leniently(path: FilePath, limits: Limits, findings: Findings) -> Manifest | None:
    """The manifest, or what can still be read of a damaged one; None if that is nothing.

    Raises: NewerSchemaError, LimitExceededError: those are no damage.
    """
    where = str(path / MANIFEST_NAME)
    try:
        with FileBytes(inner_file(path, MANIFEST_NAME)) as file:
            data = file.head(limits.max_manifest_nbytes + 1)  # one more: the parser says so
        return parse_manifest(data, where, limits)
    except (NewerSchemaError, LimitExceededError):
        raise
    except ChecksumError:
        return _unvouched(data, where, limits, findings)
    except (ContainerError, ManifestError) as exc:
        findings.guess(f"the manifest cannot be read ({exc.seen})")
        return None


def _unvouched(data: bytes, where: str, limits: Limits, findings: Findings) -> Manifest | None:
    try:
        manifest = parse_manifest(data, where, limits, check_digest=False)
    except (ContainerError, ManifestError, NewerSchemaError) as exc:
        findings.guess(f"the manifest is damaged ({exc.seen})")
        return None
    findings.guess(
        "the manifest does not have its own digest: names, shapes and plain values are as it says "
        "now, and some may be wrong; the bytes of the tensors are proved apart"
    )
    return manifest


def open_damaged_seal(
    path: FilePath, manifest: Manifest, limits: Limits, findings: Findings
) -> Found:
    """Join a manifest with the files that are left, by their digests. Raises: SchemaError."""
    refused: dict[str, str] = {}
    listing = scan_folder(path, limits, refused=refused)
    there = {file.name: LazyFile(file.path, file.nbytes) for file in listing.files}
    files = [
        BlobNode(
            entry.name, entry.nbytes, _Promised(entry.name, there.get(entry.name), entry.nbytes)
        )
        for entry in manifest.files
    ]
    leaves = tuple(leaf_of(row, files) for row in manifest.tensors.rows())
    _check(_pieces(manifest, leaves), findings)
    document = MapNode()
    for entry in manifest.sections:
        try:
            document[entry.name] = unflatten(entry.tokens, leaves, limits, entry.name)
        except ManifestError as exc:
            findings.gone.append(Gone(entry.name, None, "", f"its tree is damaged: {exc.seen}"))
    opened = Opened(
        path=path, container=SEALED_CONTAINER, nbytes=sum(file.nbytes for file in listing.files),
        root=document, notices=listing.notices,
    )  # fmt: skip
    versions = {entry.name: entry.version for entry in manifest.sections}
    names = [entry.name for entry in manifest.files]
    return Found(
        checkpoint=Checkpoint(
            path=path, opened=opened, schema_version=manifest.schema, document=document,
            notices=listing.notices,
        ),
        side_files=tuple(_side_files(manifest, files, leaves, findings)),
        label=Label(manifest.created, manifest.trainer, versions),
        split=tuple(n.removesuffix(_FROZEN_END) for n in names if n.endswith(_FROZEN_END)),
    )  # fmt: skip


class _Promised:
    """A file of which the manifest says how long it is, whatever is left of it."""

    def __init__(self, name: str, source: LazyFile | None, nbytes: int) -> None:
        self._name, self._source, self.nbytes = name, source, nbytes

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out``. Raises: TruncatedFileError where there is nothing (any more)."""
        if self._source is None:
            raise TruncatedFileError(self._name, f"its file {self._name} is missing")
        if offset + out.nbytes > self._source.nbytes:
            missing = offset + out.nbytes - self._source.nbytes
            seen = f"its file {self._name} ends {missing:,} bytes before the end of this tensor"
            raise TruncatedFileError(self._name, seen)
        self._source.read_into(offset, out)


_Piece = tuple[TensorNode | BlobNode, ByteSource, bytes]


def _pieces(manifest: Manifest, leaves: Sequence[TensorNode | BlobNode]) -> Iterator[_Piece]:
    for leaf, row in zip(leaves, manifest.tensors.rows(), strict=True):
        source = leaf.source if isinstance(leaf, BlobNode) else leaf.storage.source
        if source is not None and row.flavour != "meta":
            yield leaf, source, row.digest


def _check(pieces: Iterator[_Piece], findings: Findings) -> None:
    batch: list[_Piece] = []
    nbytes = 0
    for piece in pieces:
        batch.append(piece)
        nbytes += piece[1].nbytes
        if nbytes >= _BATCH_NBYTES or len(batch) >= _BATCH_COUNT:
            _check_batch(batch, findings)
            batch, nbytes = [], 0
    _check_batch(batch, findings)


def _check_batch(batch: list[_Piece], findings: Findings) -> None:
    """Hash several at a time; if one cannot be read, each by itself."""
    if not batch:
        return
    try:
        digests = digest_many([source for _, source, _ in batch])
    except ContainerError as exc:
        if len(batch) == 1:
            findings.lose(batch[0][0], exc.seen)
            return
        for piece in batch:
            _check_batch([piece], findings)
        return
    for (leaf, source, wanted), digest in zip(batch, digests, strict=True):
        if digest != wanted:
            findings.lose(leaf if isinstance(leaf, BlobNode) else leaf.storage, _DAMAGED)
        findings.advance(source.nbytes)


def _side_files(
    manifest: Manifest,
    files: Sequence[BlobNode],
    leaves: Sequence[TensorNode | BlobNode],
    findings: Findings,
) -> Iterator[BlobNode]:
    """The files that travel along, apart from those that stand in the tree."""
    in_tree = {id(leaf) for leaf in leaves}
    for entry, blob in zip(manifest.files, files, strict=True):
        if entry.kind != "side" or id(blob) in in_tree:
            continue
        _check_batch([(blob, blob.source, entry.digest or _NO_DIGEST)], findings)
        reason = findings.why_lost(blob)
        if reason and (entry.digest or reason != _DAMAGED):
            findings.gone.append(Gone(entry.name, None, "", reason))
        else:
            yield blob

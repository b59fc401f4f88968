"""Verify a sealed folder: its manifest, every header, every tensor, every side file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ckptkit.containers.safetensors_header import LENGTH_NBYTES, parse_header
from ckptkit.containers.v2_folder import tensor_source
from ckptkit.errors import ContainerError
from ckptkit.nodes import BlobNode, ByteSource
from ckptkit.protocols import Check, Opened
from ckptkit.schema import FileEntry, Manifest
from ckptkit.storage.digest import digest_many, digest_of_bytes
from ckptkit.types import MANIFEST_NAME, Limits
from ckptkit.verbs.sealed import refused_names

BY = "xxh3-128"
_BATCH_NBYTES = 256 << 20  # hashed by several threads before the next report of progress
_BATCH_COUNT = 4096

_Piece = tuple[str, ByteSource, bytes]  # name, bytes, the digest they should have


def sealed_checks(opened: Opened, manifest: Manifest, limits: Limits) -> Iterator[Check]:
    """Yield one check for the manifest, each header, each tensor and each side file.

    What the manifest does not name is not looked at. A check counts the bytes that were read.
    """
    yield Check(MANIFEST_NAME, len(opened.root["manifest"]), "ok", BY)
    files = opened.root["files"]
    rows: dict[int, list[int]] = {}
    for row, file in enumerate(manifest.tensors.files):
        rows.setdefault(file, []).append(row)
    for number, entry in enumerate(manifest.files):
        blob = files.get(entry.name)
        if blob is None:
            seen = str(refused_names(opened).get(entry.name) or "the file is missing")
            yield Check(entry.name, 0, "damaged", BY, seen)
            continue
        if blob.nbytes != entry.nbytes:
            seen = f"has {blob.nbytes:,} bytes, the manifest says {entry.nbytes:,}"
            yield Check(entry.name, 0, "damaged", BY, seen)
        yield from _file_checks(manifest, entry, blob, rows.get(number, []), limits)


def _file_checks(
    manifest: Manifest, entry: FileEntry, blob: BlobNode, rows: Sequence[int], limits: Limits
) -> Iterator[Check]:
    if entry.kind != "data":
        if not entry.digest:
            yield Check(entry.name, blob.nbytes, "unverifiable", BY, "it has no digest")
            return
        yield from _compare([(entry.name, blob.source, entry.digest)])
        return
    yield _header_check(manifest, entry, blob, rows, limits)
    table = manifest.tensors
    pieces: list[_Piece] = []
    nbytes = 0
    for row in rows:
        name, span = f"{entry.name}: {table.names[row]}", table.span(row)
        if span.stop > blob.nbytes:
            seen = "lies beyond the end of the file"
            yield Check(name, 0, "damaged", BY, seen)
            continue
        pieces.append((name, tensor_source(blob, *span), table.digest(row)))
        nbytes += span.nbytes
        if nbytes >= _BATCH_NBYTES or len(pieces) >= _BATCH_COUNT:
            yield from _compare(pieces)
            pieces, nbytes = [], 0
    yield from _compare(pieces)


def _header_check(
    manifest: Manifest, entry: FileEntry, blob: BlobNode, rows: Sequence[int], limits: Limits
) -> Check:
    """Compare what the safetensors header says with what the manifest says."""
    name = f"{entry.name}: header"
    try:
        if blob.nbytes < LENGTH_NBYTES:
            return Check(name, 0, "damaged", "structure", "the file is too short for a header")
        head = bytearray(LENGTH_NBYTES)
        blob.source.read_into(0, memoryview(head))
        nbytes = int.from_bytes(head, "little")
        if nbytes > min(limits.max_header_nbytes, blob.nbytes - LENGTH_NBYTES):
            return Check(name, 0, "damaged", "structure", "its length is not that of a header")
        body = bytearray(nbytes)
        blob.source.read_into(LENGTH_NBYTES, memoryview(body))
        header = parse_header(bytes(body), entry.name, blob.nbytes - LENGTH_NBYTES - nbytes, limits)
    except ContainerError as exc:
        return Check(name, 0, "damaged", "structure", exc.seen)
    start = LENGTH_NBYTES + nbytes
    told = {one.name: (one.start + start, one.stop + start) for one in header.entries}
    table = manifest.tensors
    wanted = {table.names[row]: tuple(table.span(row)) for row in rows}
    if entry.digest and digest_of_bytes(bytes(head + body)) != entry.digest:
        return Check(name, start, "damaged", BY, "its bytes do not have the digest of the manifest")
    if told != wanted:
        odd = min(set(told.items()) ^ set(wanted.items()))[0]
        seen = f"it and the manifest disagree on {odd}"
        return Check(name, start, "damaged", "structure", seen)
    return Check(name, start, "ok", BY if entry.digest else "structure")


def _compare(pieces: Sequence[_Piece]) -> Iterator[Check]:
    """Hash pieces, several at a time; if one cannot be read, each by itself."""
    if not pieces:
        return
    try:
        digests = digest_many([source for _, source, _ in pieces])
    except ContainerError as exc:
        if len(pieces) == 1:
            name, source, _ = pieces[0]
            yield Check(name, 0, "damaged", BY, exc.seen)
            return
        for piece in pieces:
            yield from _compare([piece])
        return
    for (name, source, wanted), digest in zip(pieces, digests, strict=True):
        if digest == wanted:
            yield Check(name, source.nbytes, "ok", BY)
        else:
            seen = f"its bytes have the digest {digest.hex()}, the manifest says {wanted.hex()}"
            yield Check(name, source.nbytes, "damaged", BY, seen)

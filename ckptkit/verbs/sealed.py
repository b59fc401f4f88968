"""A v2 folder as a document: its manifest joined with the bytes of its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.containers.bytesource import SlicedBytes
from ckptkit.containers.v2_folder import tensor_source
from ckptkit.errors import CorruptFileError, ManifestError, TruncatedFileError, UnsafePathError
from ckptkit.nodes import BlobNode, MapNode, Storage, TensorNode
from ckptkit.protocols import Opened
from ckptkit.schema import Manifest, TensorRow, TensorTable, parse_manifest
from ckptkit.tree import unflatten
from ckptkit.types import DTYPES, MANIFEST_NAME, Limits, Notice, contiguous_strides

MAX_SHOWN = 5
_SPECIAL = ("blob", "meta")  # flavours that are no bytes of a data file


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A v2 folder: what its manifest says, and the document with lazy tensors.

    ``leaves[i]`` is the tensor or blob of row i of the manifest's table.
    """

    manifest: Manifest
    document: MapNode
    notices: tuple[Notice, ...]
    leaves: tuple[TensorNode | BlobNode, ...]


def read_sealed(opened: Opened, limits: Limits) -> Sealed:
    """Join manifest and files; reads no tensor bytes.

    Raises: SchemaError; CorruptFileError or TruncatedFileError for files that are missing or
    have another size than the manifest says.
    """
    manifest = parse_manifest(opened.root["manifest"], f"{opened.path}/{MANIFEST_NAME}", limits)
    blobs = opened.root["files"]
    _check_files(opened, manifest, blobs)
    files = [blobs[entry.name] for entry in manifest.files]
    leaves = tuple(_leaves(manifest.tensors, files))
    document = MapNode(
        (entry.name, unflatten(entry.tokens, leaves, limits, entry.name))
        for entry in manifest.sections
    )
    notices = strangers(manifest, opened)
    return Sealed(manifest=manifest, document=document, leaves=leaves, notices=notices)


def strangers(manifest: Manifest, opened: Opened) -> tuple[Notice, ...]:
    """Say what somebody put beside the sealed files: nothing vouches for it, nobody reads it."""
    present = {*opened.root["files"], *refused_names(opened)}
    names = sorted(present - {entry.name for entry in manifest.files})
    if not names:
        return ()
    shown = ", ".join(ascii(name)[1:-1] for name in names[:MAX_SHOWN])
    shown += " and others" if len(names) > MAX_SHOWN else ""
    are = "entry is" if len(names) == 1 else "entries are"
    message = f"{len(names):,} {are} no part of the sealed checkpoint, and not read: {shown}"
    return (Notice("info", "unsealed-files", message),)


def refused_names(opened: Opened) -> MapNode:
    """What lies in the folder and can be no file of a checkpoint: name -> what it is."""
    refused = opened.properties.get("refused")
    return refused if isinstance(refused, MapNode) else MapNode()


def _check_files(opened: Opened, manifest: Manifest, blobs: MapNode) -> None:
    for entry in manifest.files:
        blob = blobs.get(entry.name)
        if entry.name in refused_names(opened):
            raise UnsafePathError(
                f"{opened.path}/{entry.name}", str(refused_names(opened)[entry.name]),
                "a regular file", "restore the folder from a copy",
            )  # fmt: skip
        if blob is None:
            raise CorruptFileError(
                opened.path, f"has no file {entry.name!a}, which its manifest names",
                "every file that was sealed", "restore the folder from a copy",
            )  # fmt: skip
        if blob.nbytes != entry.nbytes:
            kind = TruncatedFileError if blob.nbytes < entry.nbytes else CorruptFileError
            raise kind(
                f"{opened.path}/{entry.name}", f"has {blob.nbytes} bytes",
                f"{entry.nbytes} by the manifest", "restore the folder from a copy",
            )  # fmt: skip


def _leaves(table: TensorTable, files: list[BlobNode]) -> Iterator[TensorNode | BlobNode]:
    """Yield the leaf of every row, column by column: a row of its own is half of the time.

    That every span lies in its file, the manifest was checked for; that every file has its size,
    ``_check_files``.
    """
    columns = (table.shapes, table.files, table.starts, table.stops, table.flavours,
               table.requires_grad, table.devices, table.names, table.dtypes)  # fmt: skip
    texts = table.numpy_dtypes
    for row, columned in enumerate(zip(*columns, strict=True)):
        shape, file, start, stop, flavour, requires_grad, device, name, word = columned
        dtype = DTYPES.get(word)
        if flavour in _SPECIAL or dtype is None:
            yield leaf_of(table.row(row), files)
            continue
        source = SlicedBytes.within(files[file].source, start, stop - start)
        yield TensorNode(
            dtype=dtype, shape=shape, strides=contiguous_strides(shape), offset=0,
            storage=Storage(name, stop - start, source, device), flavour=flavour,
            requires_grad=requires_grad, numpy_dtype=texts.get(row, "") if texts else "",
        )  # fmt: skip


def leaf_of(row: TensorRow, files: list[BlobNode]) -> TensorNode | BlobNode:
    """Make the lazy tensor, or the blob, of one row. Raises: ManifestError."""
    if row.flavour == "blob":
        return files[row.file]
    dtype = DTYPES.get(row.dtype)
    if dtype is None:
        raise ManifestError(row.name, f"unknown dtype {row.dtype!a}")
    source = None
    if row.flavour != "meta":
        source = tensor_source(files[row.file], row.span.start, row.span.stop)
    return TensorNode(
        dtype=dtype,
        shape=row.shape,
        strides=contiguous_strides(row.shape),
        offset=0,
        storage=Storage(row.name, row.span.nbytes, source, row.device),
        flavour=row.flavour,
        requires_grad=row.requires_grad,
        numpy_dtype=row.numpy_dtype,
    )

"""What the pickles of a torch.distributed.checkpoint folder would do: .metadata and every item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.dcp_items import DcpItems, check_places, places_of
from ckptkit.containers.dcp_metadata import DcpMetadata, interpret_metadata
from ckptkit.containers.folder_scan import inner_file, scan_folder
from ckptkit.containers.inner_scan import scan_file
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.trace import Tracer
from ckptkit.containers.zip_archive import PICKLE_NAME, ZipArchive
from ckptkit.containers.zip_index import LOCAL_MARK
from ckptkit.errors import CkptkitError, ContainerError, LimitExceededError
from ckptkit.protocols import StreamScan
from ckptkit.types import Limits

METADATA = ".metadata"
SHARD_SUFFIX = ".distcp"


def read_metadata(folder: FilePath, limits: Limits, tracer: Tracer) -> DcpMetadata:
    """Read ``.metadata`` of a folder as data; ``tracer`` learns what its pickle names.

    Raises: ContainerError.
    """
    with FileBytes(inner_file(folder, METADATA)) as file:
        if file.nbytes > limits.max_pickle_nbytes:
            expected = f"at most {limits.max_pickle_nbytes} (max_pickle_nbytes)"
            raise LimitExceededError(file.where, f"has {file.nbytes} bytes", expected)
        data = file.read(0, file.nbytes)
    result = read_pickle(data, stream=METADATA, tracer=tracer, limits=limits)
    where = str(folder / METADATA)
    metadata = interpret_metadata(result.value, where, limits)
    check_places(metadata, where)
    return metadata


def scan_dcp_folder(folder: FilePath, name: str, limits: Limits) -> Iterator[StreamScan]:
    """Scan a folder; ``name`` is what it is called inside a larger one, or "".

    Raises: UnsafePathError for a link or a device in it.
    """
    prefix = f"{name}/" if name else ""
    for file in scan_folder(folder, limits).files:
        if not file.name.endswith(SHARD_SUFFIX):
            yield from scan_file(file.path, f"{prefix}{file.name}", limits)
    try:
        metadata = read_metadata(folder, limits, Tracer(METADATA))
    except CkptkitError:
        return  # its own scan above says how far it could be followed
    items = DcpItems(folder, limits)
    try:
        for place, item in places_of(metadata):
            stream = f"{prefix}{place.file}: {item}"
            try:
                window = items.window(place, item)
            except ContainerError as exc:
                yield StreamScan(stream, (), (), exc)
            else:
                yield from _scan_item(window, stream, limits)
    finally:
        items.close()


def _scan_item(window: FileBytes, stream: str, limits: Limits) -> Iterator[StreamScan]:
    if window.head(len(LOCAL_MARK)) != LOCAL_MARK:
        return  # a safetensors item, or bytes that torch.load refuses
    tracer = Tracer(stream)
    error: ContainerError | None = None
    try:
        data = ZipArchive(window, limits).read(PICKLE_NAME)
        read_pickle(data, stream=stream, tracer=tracer, limits=limits, nodes_for=window.nbytes)
    except ContainerError as exc:
        error = exc
    yield tracer.scan(error)

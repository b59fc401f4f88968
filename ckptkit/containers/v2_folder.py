"""Our own sealed folder, as bytes: the manifest's and where the data files lie.

What the manifest says is the business of ``ckptkit.schema``; the verbs join the two. No header
of a data file is read to open the folder, because the manifest holds all that it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ckptkit.containers.bytesource import FileBytes, SlicedBytes
from ckptkit.containers.folder_scan import FolderListing, inner_file, scan_folder
from ckptkit.containers.lazy_file import LazyFile
from ckptkit.containers.safetensors import NO_CHECKSUMS, read_header
from ckptkit.errors import CkptkitError, LimitExceededError, UnfinishedError
from ckptkit.nodes import BlobNode, ByteSource, MapNode
from ckptkit.protocols import Check, Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits

MANIFEST = "manifest.msgpack"
DATA_SUFFIX = ".safetensors"
_STAGE_NAME = re.compile(r"\..+\.stage-.+-[0-9a-f]{8}", re.DOTALL)
# Two sections of ours side by side, and no manifest: nobody else writes such a folder.
_OUR_SECTIONS = frozenset({"optimizer.safetensors", "rng.safetensors", "scheduler.safetensors"})


class V2FolderContainer:
    """A ckptkit checkpoint of schema version 2 or later.

    ``root`` is {"manifest": bytes, "files": {name: BlobNode of the whole file}}; a tensor's bytes
    are ``tensor_source(blob, start, stop)`` with the span that the manifest gives.
    """

    name = "ckptkit-v2"
    title = "ckptkit checkpoint"
    rank = 100

    def matches(self, probe: Probe) -> bool:
        """Say whether a manifest lies in the folder, or a save of ours died in it."""
        return probe.is_dir and (MANIFEST in probe.names or _is_unfinished(probe))

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:  # noqa: ARG002
        """Read the manifest's bytes and list the rest. Raises: UnfinishedError, ContainerError."""
        if _is_unfinished(probe):
            raise UnfinishedError(
                probe.path,
                "a save that never finished: it was not renamed, or has no manifest",
                "a folder that was committed",
                "use the checkpoint before it; the next save into that folder cleans this one",
            )
        listing = scan_folder(probe.path, limits)
        with FileBytes(inner_file(probe.path, MANIFEST)) as file:
            if file.nbytes > limits.max_manifest_nbytes:
                expected = f"at most {limits.max_manifest_nbytes} (max_manifest_nbytes)"
                raise LimitExceededError(file.where, f"has {file.nbytes} bytes", expected)
            manifest = file.read(0, file.nbytes)
        lazy = {
            file.name: LazyFile(file.path, file.nbytes, keep_open=True)
            for file in listing.files
            if file.name != MANIFEST
        }

        def close() -> None:
            for source in lazy.values():
                source.close()

        blobs = {name: BlobNode(name, source.nbytes, source) for name, source in lazy.items()}
        return Opened(
            path=probe.path,
            container=self.name,
            nbytes=sum(file.nbytes for file in listing.files),
            root=MapNode({"manifest": manifest, "files": MapNode(blobs)}),
            notices=listing.notices,
            checks=lambda: _structure_checks(listing, limits),
            close=close,
        )

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow the pickles in side files; the format itself has none."""
        from ckptkit.containers.inner_scan import scan_file

        for file in scan_folder(probe.path, limits).files:
            if file.name != MANIFEST and not file.name.endswith(DATA_SUFFIX):
                yield from scan_file(file.path, file.name, limits)


def tensor_source(blob: BlobNode, start: int, stop: int) -> ByteSource:
    """The bytes ``start:stop`` of a file of the folder. Raises: TruncatedFileError."""
    return SlicedBytes(blob.source, start, stop - start)


def _is_unfinished(probe: Probe) -> bool:
    if _STAGE_NAME.fullmatch(probe.path.name):
        return True
    return MANIFEST not in probe.names and (
        len(_OUR_SECTIONS & set(probe.names)) >= 2
        or {"optimizer.safetensors", "model.safetensors"} <= set(probe.names)
    )


def _structure_checks(listing: FolderListing, limits: Limits) -> Iterator[Check]:
    for entry in listing.files:
        if not entry.name.endswith(DATA_SUFFIX):
            continue
        try:
            with FileBytes(entry.path) as file:
                read_header(file, limits)
        except CkptkitError as exc:
            yield Check(entry.name, entry.nbytes, "damaged", "structure", str(exc))
        else:
            yield Check(entry.name, entry.nbytes, "unverifiable", "structure", NO_CHECKSUMS)

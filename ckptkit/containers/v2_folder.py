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
from ckptkit.types import LEFTOVER_PATTERN, MANIFEST_NAME, SEALED_CONTAINER, Limits

DATA_SUFFIX = ".safetensors"
MAX_KEPT_OPEN = 64  # descriptors for one folder; what has more files opens the rest for each read
_LEFTOVER_NAME = re.compile(LEFTOVER_PATTERN, re.DOTALL)


class V2FolderContainer:
    """A ckptkit checkpoint of schema version 2 or later.

    ``root`` is {"manifest": bytes, "files": {name: BlobNode of the whole file}}; a tensor's bytes
    are ``tensor_source(blob, start, stop)`` with the span that the manifest gives. What lies there
    and cannot be a file of a checkpoint (a link, a pipe, an odd name) is no reason to refuse the
    rest: ``properties["refused"]`` says what it is, and only a manifest that names it fails.
    """

    name = SEALED_CONTAINER
    title = "ckptkit checkpoint"
    rank = 100

    def matches(self, probe: Probe) -> bool:
        """Say whether a manifest lies in the folder, or its name is that of a save of ours."""
        return probe.is_dir and (MANIFEST_NAME in probe.names or _is_stage(probe))

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:  # noqa: ARG002
        """Read the manifest's bytes and list the rest. Raises: UnfinishedError, ContainerError."""
        if _is_stage(probe):
            raise UnfinishedError(
                probe.path,
                "a save that never finished: it still has the name of a stage",
                "a folder that was committed",
                "use the checkpoint before it; the next save to the same path removes this one",
            )
        refused: dict[str, str] = {}
        listing = scan_folder(probe.path, limits, refused=refused)
        with FileBytes(inner_file(probe.path, MANIFEST_NAME)) as file:
            if file.nbytes > limits.max_manifest_nbytes:
                expected = f"at most {limits.max_manifest_nbytes} (max_manifest_nbytes)"
                raise LimitExceededError(file.where, f"has {file.nbytes} bytes", expected)
            manifest = file.read(0, file.nbytes)
        lazy = _lazy_files(listing)

        def close() -> None:
            for source in lazy.values():
                source.close()

        blobs = {name: BlobNode(name, source.nbytes, source) for name, source in lazy.items()}
        return Opened(
            path=probe.path,
            container=self.name,
            nbytes=sum(file.nbytes for file in listing.files),
            root=MapNode({"manifest": manifest, "files": MapNode(blobs)}),
            properties={"refused": MapNode(refused)},
            notices=listing.notices,
            checks=lambda: _structure_checks(listing, limits),
            close=close,
        )

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow the pickles of whatever lies in it; the format itself has none."""
        from ckptkit.containers.scan_tree import tree_streams

        return tree_streams(probe.path, limits)


def tensor_source(blob: BlobNode, start: int, stop: int) -> ByteSource:
    """The bytes ``start:stop`` of a file of the folder. Raises: TruncatedFileError."""
    return SlicedBytes(blob.source, start, stop - start)


def _is_stage(probe: Probe) -> bool:
    found = _LEFTOVER_NAME.fullmatch(probe.path.name)
    return found is not None and found[2] == "stage"


def _lazy_files(listing: FolderListing) -> dict[str, LazyFile]:
    """Every file but the manifest; only some of the data files may hold on to a descriptor."""
    data = [file.name for file in listing.files if file.name.endswith(DATA_SUFFIX)]
    kept = set(data[:MAX_KEPT_OPEN])
    return {
        file.name: LazyFile(file.path, file.nbytes, keep_open=file.name in kept)
        for file in listing.files
        if file.name != MANIFEST_NAME
    }


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

"""The files of one folder, each read as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.folder_roles import (
    claims_to_be_checkpoint,
    final_name,
    is_dcp_folder,
    is_own_checkpoint,
    is_plain,
    is_state_json,
)
from ckptkit.containers.folder_scan import FolderFile, FolderListing
from ckptkit.containers.json_file import parse_json
from ckptkit.containers.lazy_file import LazyFile
from ckptkit.containers.parts import Parts
from ckptkit.containers.sharded import INDEX_SUFFIX, looks_like_index
from ckptkit.errors import CkptkitError, ContainerError, InputError
from ckptkit.nodes import BlobNode, MapNode, Node, SeqNode
from ckptkit.protocols import Check, OpenFile
from ckptkit.types import Limits, Notice

_HEAD_NBYTES = 4096
_CHUNK_NBYTES = 1 << 20
_MUST_PARSE = "trainer_state.json"  # damage in it is damage of the checkpoint


def dcp_units(listing: FolderListing) -> tuple[str, ...]:
    """Name the subfolders that are one part of this checkpoint, written by DCP."""
    return tuple(
        name
        for name, names in listing.units
        if is_dcp_folder(names) and not is_own_checkpoint(name, names)
    )


class FolderContents:
    """What the files of a folder hold; filled by ``read``."""

    def __init__(self, listing: FolderListing, folder: FilePath, limits: Limits) -> None:
        self.listing, self.folder, self.limits = listing, folder, limits
        self.parts, self.root = Parts(), MapNode()
        self.side_files: dict[str, BlobNode] = {}
        self.index_metadata: dict[str, Node] = {}
        self.notices: list[Notice] = []
        self.half_written: list[FolderFile] = []
        self.has_checkpoint, self.units_nbytes = False, 0
        self.dcp_units = dcp_units(listing)

    def read(self, open_file: OpenFile) -> None:
        """Open every file, and every subfolder that is one part. Raises: CkptkitError."""
        names = {file.name for file in self.listing.files}
        in_an_index: set[str] = set()
        for file in self.listing.files:
            if file.name.endswith(INDEX_SUFFIX) and self._is_index(file):
                in_an_index |= self._read_index(file, names, open_file)
        for file in self.listing.files:
            if final_name(file.name) is not None:
                self._pass_over(file)
            elif file.name not in in_an_index:
                self._read_file(file, open_file)
        for name in self.dcp_units:
            opened = self.parts.add(name, open_file(self.folder / name))
            self.root[name] = opened.root
            self.units_nbytes += opened.nbytes
            self.has_checkpoint = True

    @property
    def files(self) -> tuple[FilePath, ...]:
        """Every file that was read, or is carried as it is."""
        return (*self.parts.files, *(self.folder / name for name in self.side_files))

    def checks(self, unfinished: str = "") -> Iterator[Check]:
        """Check the checkpoint files; of the others there is nothing to check them by.

        ``unfinished`` says why the folder as a whole cannot be used, if it cannot.
        """
        if unfinished:
            yield Check(self.folder.name, 0, "damaged", "structure", unfinished)
        yield from self.parts.checks()
        for name, blob in self.side_files.items():
            yield _read_through(name, blob)
        for file in self.half_written:
            message = "half-written: a save that died left it"
            yield Check(file.name, file.nbytes, "unverifiable", "structure", message)

    def _is_index(self, file: FolderFile) -> bool:
        with FileBytes(file.path) as opened:
            return looks_like_index(opened.head(_HEAD_NBYTES))

    def _read_index(self, file: FolderFile, names: set[str], open_file: OpenFile) -> set[str]:
        """Open sharded weights; return the names of the files that need no second opening."""
        opened = self.parts.add(file.name, open_file(file.path))
        whole = file.name.removesuffix(INDEX_SUFFIX)
        self.root[file.name if whole in names else whole] = opened.root
        self.has_checkpoint = True
        self.index_metadata[file.name] = opened.properties["metadata"]
        parent = file.name.rpartition("/")[0]
        shards = opened.properties.get("shards")
        found = shards.items if isinstance(shards, SeqNode) else []
        return {file.name} | {f"{parent}/{shard}" if parent else shard for shard in found}

    def _read_file(self, file: FolderFile, open_file: OpenFile) -> None:
        if is_state_json(file.name):
            self._read_json(file)
        elif is_plain(file.name):
            self.root[file.name] = self._keep(file)
        else:
            self._read_checkpoint(file, open_file)

    def _read_checkpoint(self, file: FolderFile, open_file: OpenFile) -> None:
        try:
            opened = open_file(file.path)
        except InputError as exc:
            if claims_to_be_checkpoint(file.name):
                raise
            message = f"carried as it is, because it is no checkpoint ({exc.kind})"
            self.notices.append(Notice("info", "carried", message, file.name))
            self.root[file.name] = self._keep(file)
            return
        self.parts.add(file.name, opened)
        self.root[file.name] = opened.root
        self.has_checkpoint = True

    def _read_json(self, file: FolderFile) -> None:
        blob = self._keep(file)
        try:
            if file.nbytes > self.limits.max_json_nbytes:
                raise ContainerError(file.path, "is longer than max_json_nbytes")  # noqa: TRY301
            with FileBytes(file.path) as opened:
                data = opened.read(0, opened.nbytes)
            self.root[file.name] = parse_json(data, str(file.path), self.limits)
        except ContainerError as exc:
            if file.name == _MUST_PARSE:
                raise
            self.notices.append(Notice("warning", "json-not-read", str(exc), file.name))
            self.root[file.name] = blob

    def _pass_over(self, file: FolderFile) -> None:
        self.half_written.append(file)
        message = "left by a save that died: it is no part of the checkpoint and can be removed"
        self.notices.append(Notice("warning", "half-written", message, file.name))

    def _keep(self, file: FolderFile) -> BlobNode:
        blob = BlobNode(file.name, file.nbytes, LazyFile(file.path, file.nbytes))
        self.side_files[file.name] = blob
        return blob


def _read_through(name: str, blob: BlobNode) -> Check:
    """Read a side file to its end: that it can be read is all there is to verify."""
    buffer = memoryview(bytearray(min(_CHUNK_NBYTES, blob.nbytes)))
    try:
        for start in range(0, blob.nbytes, _CHUNK_NBYTES):
            blob.source.read_into(start, buffer[: min(_CHUNK_NBYTES, blob.nbytes - start)])
    except CkptkitError as exc:
        return Check(name, blob.nbytes, "damaged", "structure", exc.seen)
    return Check(name, blob.nbytes, "unverifiable", "structure", "a side file")

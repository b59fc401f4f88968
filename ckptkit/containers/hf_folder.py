"""Any folder with checkpoint files in it: Hugging Face, Trainer, Accelerate, some .pt files.

The container only says what lies where; what it means is the dialects' business.
"""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.containers.folder_contents import FolderContents, dcp_units
from ckptkit.containers.folder_roles import check_finished, is_unit
from ckptkit.containers.folder_scan import FolderListing, scan_folder
from ckptkit.containers.inner_scan import scan_file
from ckptkit.errors import NoCheckpointError
from ckptkit.nodes import MapNode, SeqNode
from ckptkit.protocols import Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits


class FolderContainer:
    """A folder, file by file.

    ``root`` maps each file's name, relative with "/", to what is in it: the tree of a checkpoint
    file; the nodes of a JSON file that holds state or settings (``config.json``,
    ``trainer_state.json``, ``*_state.json``, ``*_config.json``); a BlobNode for every other.
    Sharded weights stand once, under the name that the whole file would have
    (``model.safetensors`` for ``model.safetensors.index.json``). A subfolder that is a
    torch.distributed.checkpoint save stands under its own name.

    ``properties``: ``side_files`` maps the name of every file that is no checkpoint, parsed JSON
    included, to its BlobNode, byte for byte; ``index_metadata`` has what an index says beside its
    map, which itself is no side file: copied beside whole weights it would name shards that are
    not there. ``nested`` names the subfolders that are checkpoints of their own and stay closed.
    """

    name = "folder"
    title = "folder of checkpoint files"
    rank = 900

    def matches(self, probe: Probe) -> bool:
        """Take any folder that nobody else knows."""
        return probe.is_dir

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Open every checkpoint file in it. Raises: NoCheckpointError, ContainerError."""
        check_finished(probe.path, probe.names)
        listing = _listing(probe, limits)
        contents = FolderContents(listing, probe.path, limits)
        nested = [unit.name for unit in listing.units if unit.name not in contents.dcp_units]
        try:
            contents.read(open_file)
            _require_checkpoint(contents, probe, nested)
        except BaseException:
            contents.parts.close()
            raise
        return Opened(
            path=probe.path,
            container=self.name,
            nbytes=sum(file.nbytes for file in listing.files) + contents.units_nbytes,
            root=contents.root,
            properties={
                "side_files": MapNode(contents.side_files),
                "index_metadata": MapNode(contents.index_metadata),
                "nested": SeqNode([*nested]),
            },
            scans=contents.parts.scans(),
            notices=(*listing.notices, *contents.notices, *contents.parts.notices()),
            checks=contents.checks,
            close=contents.parts.close,
        )

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow the pickles of every file, whatever its name. Raises: UnsafePathError."""
        from ckptkit.containers.dcp_scan import scan_dcp_folder

        listing = _listing(probe, limits)
        for file in listing.files:
            yield from scan_file(file.path, file.name, limits)
        for unit in dcp_units(listing):
            yield from scan_dcp_folder(probe.path / unit, unit, limits)


def _listing(probe: Probe, limits: Limits) -> FolderListing:
    return scan_folder(probe.path, limits, is_unit)


def _require_checkpoint(contents: FolderContents, probe: Probe, nested: list[str]) -> None:
    if contents.has_checkpoint:
        return
    if not nested:
        advice = "name the folder or file in which the checkpoint lies"
        raise NoCheckpointError(probe.path, "no file in this folder is a checkpoint", "", advice)
    shown = ", ".join(nested[-5:]) + (" and others" if len(nested) > 5 else "")
    advice = f"name one of them ({shown}), or list them with: ckptkit list"
    raise NoCheckpointError(probe.path, "holds checkpoints, but is none itself", "", advice)

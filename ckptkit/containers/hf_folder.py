"""Any folder with checkpoint files in it: Hugging Face, Trainer, Accelerate, some .pt files.

The container only says what lies where; what it means is the dialects' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ckptkit.containers.folder_contents import FolderContents
from ckptkit.containers.folder_roles import is_unit, looks_unsealed, unfinished
from ckptkit.containers.folder_scan import FolderListing, scan_folder
from ckptkit.containers.folder_units import checkpoints_below, is_one_checkpoint
from ckptkit.errors import NoCheckpointError, UnfinishedError
from ckptkit.nodes import MapNode, SeqNode
from ckptkit.protocols import Opened, OpenFile, Probe, StreamScan
from ckptkit.types import MANIFEST_NAME, Limits, Notice

_MAX_SHOWN = 5
_LOST = f"it seems to have lost its {MANIFEST_NAME}"


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
    ``unfinished`` is there if a save did not finish, and says why: what is whole can be verified,
    but nobody should use the rest for the checkpoint.

    A folder that holds several checkpoints, none of them bound to the others, is refused.
    """

    name = "folder"
    title = "folder of checkpoint files"
    rank = 900

    def matches(self, probe: Probe) -> bool:
        """Take any folder that nobody else knows."""
        return probe.is_dir

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Open every checkpoint file in it. Raises: NoCheckpointError, ContainerError."""
        if not is_one_checkpoint(probe.path, probe.names):
            raise _several(probe, open_file)
        reason = unfinished(probe.path, probe.names)
        lost = _lost_manifest(probe)
        listing = _listing(probe, limits)
        contents = FolderContents(listing, probe.path, limits)
        nested = [unit.name for unit in listing.units if unit.name not in contents.dcp_units]
        try:
            contents.read(open_file)
            _require_checkpoint(contents, probe, nested, reason)
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
                **({"unfinished": reason} if reason else {}),
            },
            scans=contents.parts.scans(),
            notices=(
                *lost,
                *listing.notices,
                *contents.notices,
                *contents.parts.notices(),
            ),
            files=contents.files,
            checks=lambda: contents.checks(reason or (_LOST if lost else "")),
            close=contents.parts.close,
        )

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow the pickles of every file, whatever its name and however deep it lies."""
        from ckptkit.containers.scan_tree import tree_streams

        return tree_streams(probe.path, limits)


def _listing(probe: Probe, limits: Limits) -> FolderListing:
    return scan_folder(probe.path, limits, is_unit)


def _lost_manifest(probe: Probe) -> tuple[Notice, ...]:
    if not looks_unsealed(probe.names):
        return ()
    message = (
        f"looks like a sealed checkpoint that lost its {MANIFEST_NAME}: its weights are read as "
        "plain files and nothing vouches for them; restore the manifest, "
        "use another checkpoint, or take what `ckptkit recover` saves"
    )
    return (Notice("warning", "manifest-missing", message, str(probe.path)),)


def _several(probe: Probe, open_file: OpenFile) -> NoCheckpointError:
    """The refusal of a folder that is no checkpoint itself, with what lies in it by name."""
    found = checkpoints_below(probe.path, open_file)
    if not found.names:
        advice = "name the folder or file in which the checkpoint lies"
        return NoCheckpointError(probe.path, "no file in this folder is a checkpoint", "", advice)
    count = len(found.names)
    many = "1 checkpoint" if count == 1 else f"{count:,} checkpoints"
    shown = ", ".join(ascii(name)[1:-1] for name in found.names[:_MAX_SHOWN])
    shown += " and others" if count > _MAX_SHOWN else ""
    return NoCheckpointError(
        probe.path, f"holds {'more than ' if found.is_cut else ''}{many}, but is none itself",
        "one checkpoint",
        f"name one of them ({shown}), such as the newest: {_newest(probe.path, found.names)}; "
        "or use: ckptkit list, ckptkit migrate --recursive",
    )  # fmt: skip


def _newest(folder: Path, names: Sequence[str]) -> str:
    """The path of the one that changed last; of several that changed at once the last by name."""
    times = []
    for name in names:
        with suppress(OSError):  # it went away, or nobody may look at it
            times.append(((folder / name).stat().st_mtime_ns, name))
    return ascii(str(folder / max(times)[1] if times else folder / names[-1]))[1:-1]


def _require_checkpoint(
    contents: FolderContents, probe: Probe, nested: list[str], reason: str
) -> None:
    if contents.has_checkpoint:
        return
    if reason:
        advice = "use the checkpoint before it"
        raise UnfinishedError(probe.path, reason, "a save that came to its end", advice)
    if not nested:
        advice = "name the folder or file in which the checkpoint lies"
        raise NoCheckpointError(probe.path, "no file in this folder is a checkpoint", "", advice)
    shown = ", ".join(nested[-5:]) + (" and others" if len(nested) > 5 else "")
    advice = f"name one of them ({shown}), or list them with: ckptkit list"
    raise NoCheckpointError(probe.path, "holds checkpoints, but is none itself", "", advice)

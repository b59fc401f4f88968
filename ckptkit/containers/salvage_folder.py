"""A folder of checkpoint files of which some are damaged: the rest, and the names of those."""

from __future__ import annotations

from ckptkit.containers.folder_contents import FolderContents
from ckptkit.containers.folder_roles import claims_to_be_checkpoint, is_unit, unfinished
from ckptkit.containers.folder_scan import FolderFile, scan_folder
from ckptkit.containers.salvage import Findings, Gone
from ckptkit.errors import ContainerError, InputError, NoCheckpointError
from ckptkit.nodes import MapNode
from ckptkit.protocols import Opened, OpenFile, Probe
from ckptkit.types import Limits


def salvage_folder(probe: Probe, limits: Limits, findings: Findings, open_file: OpenFile) -> Opened:
    """Open every file that can be opened; ``open_file`` opens a damaged one too.

    Raises: NoCheckpointError if none is a checkpoint; ContainerError, LimitExceededError.
    """
    reason = unfinished(probe.path, probe.names)
    if reason:
        findings.guess(f"the folder was not finished: {reason}")
    listing = scan_folder(probe.path, limits, is_unit)
    contents = _Contents(findings, listing, probe.path, limits)
    try:
        contents.read(open_file)
        if not contents.has_checkpoint:
            raise NoCheckpointError(probe.path, "no file in this folder can be read")  # noqa: TRY301
    except BaseException:
        contents.parts.close()
        raise
    return Opened(
        path=probe.path, container="folder",
        nbytes=sum(file.nbytes for file in listing.files) + contents.units_nbytes,
        root=contents.root,
        properties={
            "side_files": MapNode(contents.side_files),
            "index_metadata": MapNode(contents.index_metadata),
        },
        notices=(*listing.notices, *contents.notices, *contents.parts.notices()),
        files=contents.files, close=contents.parts.close,
    )  # fmt: skip


class _Contents(FolderContents):
    """The files of a folder; what cannot be read is written down instead of raised."""

    def __init__(self, findings: Findings, *rest: object) -> None:
        super().__init__(*rest)  # type: ignore[arg-type]
        self._findings = findings

    def _read_checkpoint(self, file: FolderFile, open_file: OpenFile) -> None:
        try:
            super()._read_checkpoint(file, open_file)
        except (ContainerError, InputError) as exc:
            if isinstance(exc, InputError) and not claims_to_be_checkpoint(file.name):
                raise
            self._findings.gone.append(Gone(file.name, None, "", exc.seen))

    def _read_json(self, file: FolderFile) -> None:
        try:
            super()._read_json(file)
        except ContainerError as exc:
            self._findings.gone.append(Gone(file.name, None, "", exc.seen))

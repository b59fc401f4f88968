"""TorchScript archives: their tensors by dotted name, and all else as inert data."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.torch_zip import (
    PickledRecord,
    TorchZipContainer,
    archive_properties,
    name_users,
    read_record,
    unread_notices,
)
from ckptkit.containers.zip_archive import PICKLE_NAME, ZipArchive
from ckptkit.containers.zip_end import find_directory
from ckptkit.containers.zip_index import LOCAL_MARK
from ckptkit.errors import CkptkitError, LimitExceededError
from ckptkit.nodes import BlobNode, MapNode, Node, Record, SeqNode, TensorNode
from ckptkit.protocols import Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits, Notice

_MAX_LEVELS = 200  # modules inside modules; what lies deeper stays in the tree, unnamed
_CODE_FOLDERS = ("code/", "extra/", "ts_code/")


class TorchScriptContainer:
    """A torch zip with ``constants.pkl`` and code."""

    name = "torchscript"
    title = "TorchScript archive (torch.jit.save)"
    rank = 19

    def matches(self, probe: Probe) -> bool:
        """A zip whose directory names ``<root>/constants.pkl``."""
        if probe.is_dir or not probe.head.startswith(LOCAL_MARK):
            return False
        try:
            with FileBytes(probe.path) as file:
                directory = find_directory(file, Limits())
                names = file.read(directory.start, directory.stop - directory.start)
                return b"/constants.pkl" in names
        except CkptkitError:
            return False  # the reader of zips will say what is wrong

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Read the pickles; tensors stay where they are. Raises: ContainerError."""
        return TorchZipContainer().open(probe, limits, open_file)

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow every pickle of the archive."""
        return TorchZipContainer().scan(probe, limits)


def open_torchscript(archive: ZipArchive, probe: Probe) -> Opened:
    """The tree of a TorchScript archive.

    ``state_dict`` has every tensor of the modules under its dotted name, ``module`` the objects
    as they are, ``constants`` the constants of the code, ``files`` code and extra files.
    Raises: ContainerError.
    """
    with paused_gc():
        module = _record(archive, PICKLE_NAME, "data/")
        constants = _record(archive, "constants.pkl", "constants/")
        state = flat_state(module.value if module else None, archive)
    parts = {PICKLE_NAME: module, "constants.pkl": constants}
    root = MapNode({"state_dict": state})
    root["module"] = module.value if module else None
    root["constants"] = constants.value if constants else None
    root["files"] = _side_files(archive)
    tables = [("data/", module), ("constants/", constants)]
    known = {folder: record.table for folder, record in tables if record}
    name_users(archive, root, list(known.items()))
    notices = [
        *archive.notices,
        *unread_notices(archive, known, ("constants.pkl", *_CODE_FOLDERS)),
        Notice("info", "torchscript-code", "the code of the archive is kept as text, not run"),
    ]
    return Opened(
        path=probe.path,
        container=TorchScriptContainer.name,
        nbytes=archive.file.nbytes,
        root=root,
        properties=archive_properties(archive),
        scans=tuple(record.scan for record in parts.values() if record),
        notices=tuple(notices),
        checks=archive.checks,
        close=archive.file.close,
    )


def _record(archive: ZipArchive, name: str, folder: str) -> PickledRecord | None:
    """A pickle of the archive; constants may lie among the data, as old archives have it."""
    if archive.entry(name) is None:
        return None
    has_own = any(entry.startswith(archive.root + folder) for entry in archive.entries)
    return read_record(archive, name, folder if has_own else "data/")


def _side_files(archive: ZipArchive) -> MapNode:
    """Code, debug tables and extra files, whole and unread."""
    files = MapNode()
    for name, entry in archive.entries.items():
        inner = name.removeprefix(archive.root)
        if inner.startswith(_CODE_FOLDERS) and not name.endswith("/"):
            files[inner] = BlobNode(inner, entry.usize, archive.source(entry))
    return files


def flat_state(module: Node, archive: ZipArchive) -> MapNode:
    """Every tensor that hangs on module attributes, as a state_dict would name it.

    Raises: LimitExceededError if shared modules multiply into more names than the budget.
    """
    state = MapNode(kind="OrderedDict")
    budget = archive.limits.max_nodes(archive.file.nbytes)
    stack: list[tuple[str, Node, frozenset[int]]] = [("", module, frozenset())]
    while stack:
        prefix, node, above = stack.pop()
        if isinstance(node, TensorNode):
            state[prefix.rstrip(".")] = node
            continue
        if id(node) in above or len(above) > _MAX_LEVELS:
            continue
        budget -= 1
        if budget < 0:
            raise LimitExceededError(
                archive.file.where, "the modules name more tensors than a file of this size may",
                advice="raise --limit base_nodes=N",
            )  # fmt: skip
        inside = above | {id(node)}
        children = [(f"{prefix}{key}.", child, inside) for key, child in _attributes(node)]
        stack.extend(reversed(children))
    return state


def _attributes(node: Node) -> list[tuple[str, Node]]:
    if isinstance(node, Record):
        node = node.state
    if isinstance(node, MapNode):
        return [(key, child) for key, child in node.items() if type(key) is str]
    if isinstance(node, SeqNode):
        return [(str(i), child) for i, child in enumerate(node.items)]
    return []

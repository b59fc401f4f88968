"""The verb ``list``: every checkpoint below a folder, of any kind, and whether it is whole."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.folder_roles import is_own_checkpoint
from ckptkit.containers.folder_scan import SKIPPED_FOLDERS
from ckptkit.containers.probe import choose, make_probe
from ckptkit.errors import (
    CkptkitError,
    DialectError,
    InputError,
    NoCheckpointError,
    NotFoundError,
)
from ckptkit.hooks.manager import containers
from ckptkit.nodes import MapNode, Node
from ckptkit.storage.catalog import state_of
from ckptkit.types import DEFAULT_LIMITS, Limits
from ckptkit.verbs.open import Checkpoint, load, open_container

DEFAULT_DEPTH = 6

# Names under which people keep checkpoints: such a file is told of even if it cannot be one.
_USUAL_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".th", ".pth.tar", ".pt2")
_TEMPORARY_PREFIX = "._"  # what macOS leaves beside each file on foreign disks
# In these folders every file is a part, although the tree that is read does not name it.
_CLOSED_CONTAINERS = frozenset({"ckptkit-v2", "dcp"})
# The container that takes any folder; only what binds its files makes them one checkpoint.
_ANY_FOLDER = "folder"
_BINDING_NAMES = frozenset({"model_index.json", "training_args.bin", "optimizer.bin"})
_WEIGHTS = re.compile(r"(?:(?:pytorch_|adapter_|diffusion_pytorch_)?model)\.(?:safetensors|bin)")
_HALF_WRITTEN = (".tmp", ".partial", ".part", ".incomplete", ".crdownload")


class ListRow(NamedTuple):
    """One checkpoint. ``state``: "whole", "damaged" (``reason`` says why), "leftover".

    Whole means that headers and lengths agree; ``verify`` reads the bytes. ``modified_s`` is in
    seconds since 1970, of the newest file. None is unknown.
    """

    path: FilePath
    container: str
    dialect: str
    schema_version: int | None
    epochs_completed: Node
    optimizer_steps: Node
    nbytes: int
    modified_s: float
    state: str
    stored_epoch: Node = None  # where the file does not tell whether it is finished or next
    reason: str = ""
    error_kind: str = ""


@dataclass(slots=True, kw_only=True)
class Listing:
    """What was found, and what was passed over."""

    root: FilePath
    rows: list[ListRow] = field(default_factory=list)
    temporary: int = 0  # files that begin with ``._``
    too_deep: int = 0  # folders below the depth that was asked for


def list_checkpoints(
    root: FilePath | str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    max_depth: int = DEFAULT_DEPTH,
    progress: Callable[[int], None] | None = None,
) -> Listing:
    """Find every checkpoint below ``root``, at most ``max_depth`` folders down.

    No link to a folder is followed. A file that cannot be read is a row that says why.

    Raises: NotFoundError if ``root`` does not exist; PluginConflictError.
    """
    top = FilePath(root)
    if not top.exists():
        raise NotFoundError(top, "there is nothing at this path", "a folder", "check the spelling")
    listing = Listing(root=top)
    if not top.is_dir():
        listing.rows += _file_rows(top, limits, told=True)
        return listing
    pending = [(top, 0)]
    while pending:
        folder, depth = pending.pop()
        rows, files, folders = _look_into(folder, limits, listing)
        listing.rows += rows
        for path in files:
            listing.rows += _file_rows(path, limits, told=False)
            if progress is not None:
                progress(1)
        if depth < max_depth:
            pending += [(path, depth + 1) for path in reversed(folders)]
        else:
            listing.too_deep += len(folders)
    return listing


_Found = tuple[list[ListRow], list[FilePath], list[FilePath]]  # rows, files and folders to look at


def _look_into(folder: FilePath, limits: Limits, listing: Listing) -> _Found:
    """Say whether a folder is a checkpoint itself, and what in it is still to be looked at."""
    state = state_of(folder)
    if state in ("stage", "leftover"):
        reason = "a save that never finished" if state == "stage" else "moved aside by a replace"
        return [_bad_row(folder, "leftover", reason)], [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as exc:
        reason = (exc.strerror or "cannot be read").lower()
        return [_bad_row(folder, "damaged", reason, "AccessDenied")], [], []
    listing.temporary += sum(entry.name.startswith(_TEMPORARY_PREFIX) for entry in entries)
    entries = [entry for entry in entries if not entry.name.startswith(_TEMPORARY_PREFIX)]
    row, covered = _folder_row(folder, limits)
    files = [
        FilePath(entry.path) for entry in entries
        if entry.is_file() and covered is not None and entry.name not in covered
    ]  # fmt: skip
    folders = [
        FilePath(entry.path) for entry in entries
        if entry.is_dir(follow_symlinks=False)
        and entry.name not in SKIPPED_FOLDERS
        and (covered is None or entry.name not in covered)
    ]  # fmt: skip
    return [row] if row else [], files, folders


def _folder_row(folder: FilePath, limits: Limits) -> tuple[ListRow | None, set[str] | None]:
    """The row of a folder that is a checkpoint, and the names that are parts of it (None: all)."""
    try:
        probe = make_probe(folder)
        container = choose(probe, containers())
    except InputError:
        return None, set()
    if container.name == _ANY_FOLDER and not _is_bound(folder.name, probe.names):
        return None, set()
    try:
        with load(folder, limits=limits) as checkpoint:
            return _whole_row(checkpoint), _covered(checkpoint)
    except NoCheckpointError:
        return None, set()
    except DialectError as exc:
        return _puzzle_row(folder, limits, exc), None
    except CkptkitError as exc:
        return _error_row(folder, exc), None


def _is_bound(folder_name: str, names: tuple[str, ...]) -> bool:
    """Say whether the files of a folder are one checkpoint, not several kept side by side."""
    if not _BINDING_NAMES.isdisjoint(names) or is_own_checkpoint(folder_name, names):
        return True
    if any(_WEIGHTS.fullmatch(name.removesuffix(".index.json")) for name in names):
        return any(name.endswith(("config.json", ".index.json")) for name in names)
    return False


def _covered(checkpoint: Checkpoint) -> set[str] | None:
    root = checkpoint.opened.root
    if checkpoint.sealed is not None or checkpoint.opened.container in _CLOSED_CONTAINERS:
        return None
    if not isinstance(root, MapNode):
        return None
    return {str(name).split("/", 1)[0] for name in root}


def _file_rows(path: FilePath, limits: Limits, *, told: bool) -> list[ListRow]:
    """The row of a file, or none where it is no checkpoint and does not look like one."""
    name = path.name.lower()
    told = told or name.endswith(_USUAL_SUFFIXES)
    if name.endswith(_HALF_WRITTEN) and name.rpartition(".")[0].endswith(_USUAL_SUFFIXES):
        return [_bad_row(path, "leftover", "half-written: the save or the copy did not end")]
    try:
        with load(path, limits=limits) as checkpoint:
            return [_whole_row(checkpoint)]
    except InputError as exc:
        return [_error_row(path, exc)] if told else []
    except DialectError as exc:
        return [_puzzle_row(path, limits, exc)]
    except CkptkitError as exc:
        return [_error_row(path, exc)]


def _whole_row(checkpoint: Checkpoint) -> ListRow:
    progress = checkpoint.document.get("progress")
    known = progress if isinstance(progress, MapNode) else MapNode()
    stored, verdict = known.get("as_stored"), checkpoint.verdict
    return ListRow(
        checkpoint.path,
        checkpoint.opened.container,
        verdict.dialect.name if verdict else "",
        checkpoint.schema_version,
        known.get("epochs_completed"),
        known.get("optimizer_steps"),
        checkpoint.opened.nbytes,
        _modified_s(checkpoint.path),
        "whole",
        stored.get("epoch") if isinstance(stored, MapNode) else None,
    )


def _puzzle_row(path: FilePath, limits: Limits, error: DialectError) -> ListRow:
    """Its bytes are whole; only whose keys they are is open."""
    try:
        opened = open_container(path, limits)
        opened.close()
    except CkptkitError as exc:
        return _error_row(path, exc)
    modified_s = _modified_s(path)
    return ListRow(
        path, opened.container, "?", None, None, None, opened.nbytes, modified_s,
        "whole", reason=error.seen, error_kind=error.kind,
    )  # fmt: skip


def _error_row(path: FilePath, error: CkptkitError) -> ListRow:
    return _bad_row(path, "damaged", error.seen, error.kind)


def _bad_row(path: FilePath, state: str, reason: str, kind: str = "") -> ListRow:
    nbytes = sum(stat.st_size for stat in _stats(path))
    return ListRow(
        path, "", "", None, None, None, nbytes, _modified_s(path), state,
        reason=reason, error_kind=kind,
    )  # fmt: skip


def _modified_s(path: FilePath) -> float:
    """The newest file counts: a folder's own time says nothing of what lies in it."""
    return max((stat.st_mtime for stat in _stats(path)), default=0.0)


def _stats(path: FilePath) -> Iterator[os.stat_result]:
    """The stat of a file, or of the files directly in a folder."""
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                yield from [entry.stat() for entry in entries if entry.is_file()]
        else:
            yield path.stat()
    except OSError:  # gone or forbidden: the row says so already
        return

"""The verb ``list``: every checkpoint below a folder, of any kind, and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.absent import absent
from ckptkit.containers.folder_roles import is_own_checkpoint
from ckptkit.containers.folder_scan import SKIPPED_FOLDERS
from ckptkit.containers.folder_units import TEMPORARY_PREFIX, is_one_checkpoint
from ckptkit.containers.probe import choose, make_probe
from ckptkit.errors import (
    CkptkitError,
    DialectError,
    ForeignFormatError,
    HtmlPageError,
    InputError,
    NoCheckpointError,
    UnknownFormatError,
)
from ckptkit.hooks.manager import containers
from ckptkit.nodes import MapNode, Node
from ckptkit.storage.catalog import state_of
from ckptkit.storage.leftovers import parse_leftover
from ckptkit.types import DEFAULT_LIMITS, MANIFEST_NAME, SEALED_CONTAINER, Limits
from ckptkit.verbs.open import Checkpoint, load, open_container
from ckptkit.verbs.progress_words import told_progress

DEFAULT_DEPTH = 6

# Names under which people keep checkpoints: such a file is told of even if it cannot be one.
_USUAL_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".th", ".pth.tar", ".pt2")
# What says that a file is something else, and no damaged checkpoint.
_NO_CHECKPOINT = (ForeignFormatError, HtmlPageError, UnknownFormatError)
# What a defect of a reader raises: one file must not hide all others from the list.
_DEFECTS = (
    ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RuntimeError, EOFError,
    MemoryError, OSError,
)  # fmt: skip
_ANY_FOLDER = "folder"  # the container that takes every folder
_STATES = {"recovered": "recovered", "manifest-missing": "damaged"}  # what a notice says of it
_NO_CHECKPOINTS = ("history.json", "config.json")  # a run's files for people, staged as well
_HALF_WRITTEN = (".tmp", ".partial", ".part", ".incomplete", ".crdownload")


class ListRow(NamedTuple):
    """One checkpoint. ``state``: "whole", "damaged" (``reason`` says why), "leftover", "recovered".

    Of what only has the name of one ("foreign": a picture, an archive, a page) likewise.
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
    stored_step: Node = None  # likewise
    reason: str = ""
    error_kind: str = ""


@dataclass(slots=True, kw_only=True)
class Listing:
    """What was found, and what was passed over. ``others`` have the name of a checkpoint only."""

    root: FilePath
    rows: list[ListRow] = field(default_factory=list)
    others: list[ListRow] = field(default_factory=list)
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

    No link to a folder is followed, and no folder entered that is one checkpoint, but for the
    checkpoints of their own in it (``checkpoint-500``). What cannot be read is a row that says why.

    Raises: NotFoundError if ``root`` does not exist; PluginConflictError.
    """
    top = FilePath(root)
    if not top.exists():
        raise absent(top)
    listing = Listing(root=top)
    if not top.is_dir():
        _add(listing, _guarded(_file_rows, top, limits, told=True))
        return listing
    pending = [(top, 0)]
    while pending:
        folder, depth = pending.pop()
        rows, files, folders = _look_into(folder, limits, listing)
        listing.rows += rows
        for path in files:
            _add(listing, _guarded(_file_rows, path, limits))
            if progress is not None:
                progress(1)
        if depth < max_depth:
            pending += [(path, depth + 1) for path in reversed(folders)]
        else:
            listing.too_deep += len(folders)
    return listing


def _add(listing: Listing, rows: list[ListRow]) -> None:
    for row in rows:
        (listing.others if row.state == "foreign" else listing.rows).append(row)


def _guarded(
    look: Callable[..., list[ListRow]], path: FilePath, limits: Limits, **more: bool
) -> list[ListRow]:
    """What ``look`` says of a path; a defect of ours in it is a row, too."""
    try:
        return look(path, limits, **more)
    except _DEFECTS as exc:
        told = f"{type(exc).__name__}: {exc}"[:200]
        reason = f"a defect of ckptkit, please report it with this file: {told}"
        return [_bad_row(path, "damaged", reason, "Defect")]


_Found = tuple[list[ListRow], list[FilePath], list[FilePath]]  # rows, files and folders to look at


def _look_into(folder: FilePath, limits: Limits, listing: Listing) -> _Found:
    """Say whether a folder is a checkpoint itself, and what in it is still to be looked at."""
    state = state_of(folder)
    half = parse_leftover(folder)
    if half is not None and half.label in _NO_CHECKPOINTS:
        return [], [], []
    if state in ("stage", "leftover"):
        reason = "a save that never finished" if state == "stage" else "moved aside by a replace"
        return [_bad_row(folder, "leftover", reason)], [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as exc:
        reason = (exc.strerror or "cannot be read").lower()
        return [_bad_row(folder, "damaged", reason, "AccessDenied")], [], []
    listing.temporary += sum(entry.name.startswith(TEMPORARY_PREFIX) for entry in entries)
    entries = [entry for entry in entries if not entry.name.startswith(TEMPORARY_PREFIX)]
    rows = _guarded(_folder_rows, folder, limits)
    folders = [
        entry for entry in entries if _is_folder(entry) and entry.name not in SKIPPED_FOLDERS
    ]
    if rows:
        return rows, [], [FilePath(entry.path) for entry in folders if _is_nested(rows[0], entry)]
    files = [FilePath(entry.path) for entry in entries if _is_file(entry)]
    return rows, files, [FilePath(entry.path) for entry in folders]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that goes round in a circle, or to where nobody may look
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_nested(row: ListRow, entry: os.DirEntry[str]) -> bool:
    """Say whether a subfolder of one checkpoint is another, as checkpoint-500 of a Trainer is."""
    if row.container == SEALED_CONTAINER or MANIFEST_NAME in _names(row.path):
        return False
    return is_own_checkpoint(entry.name, _names(FilePath(entry.path)))


def _names(folder: FilePath) -> tuple[str, ...]:
    try:
        return tuple(os.listdir(folder))  # noqa: PTH208 - names, no Path objects
    except OSError:
        return ()


def _folder_rows(folder: FilePath, limits: Limits) -> list[ListRow]:
    """The row of a folder that is one checkpoint, whole or not; none for any other folder."""
    try:
        probe = make_probe(folder)
        container = choose(probe, containers())
    except InputError:
        return []
    if container.name == _ANY_FOLDER and not is_one_checkpoint(folder, probe.names):
        return []
    try:
        with load(folder, limits=limits) as checkpoint:
            return [_whole_row(checkpoint)]
    except NoCheckpointError:
        return []
    except DialectError as exc:
        return [_puzzle_row(folder, limits, exc)]
    except CkptkitError as exc:
        return [_error_row(folder, exc)]


def _file_rows(path: FilePath, limits: Limits, *, told: bool = False) -> list[ListRow]:
    """The row of a file, or none where it is no checkpoint and does not look like one."""
    name = path.name.lower()
    told = told or name.endswith(_USUAL_SUFFIXES)
    if name.endswith(_HALF_WRITTEN) and name.rpartition(".")[0].endswith(_USUAL_SUFFIXES):
        return [_bad_row(path, "leftover", "half-written: the save or the copy did not end")]
    try:
        with load(path, limits=limits) as checkpoint:
            return [_whole_row(checkpoint)]
    except _NO_CHECKPOINT as exc:
        return [_bad_row(path, "foreign", exc.seen, exc.kind)] if told else []
    except InputError as exc:
        return [_error_row(path, exc)] if told else []
    except DialectError as exc:
        return [_puzzle_row(path, limits, exc)]
    except CkptkitError as exc:
        return [_error_row(path, exc)]


def _whole_row(checkpoint: Checkpoint) -> ListRow:
    known, verdict = told_progress(checkpoint.document), checkpoint.verdict
    as_stored = known.get("as_stored")
    stored = as_stored if isinstance(as_stored, MapNode) else MapNode()
    told = {notice.code: notice.message for notice in checkpoint.notices}
    state = next((state for code, state in _STATES.items() if code in told), "whole")
    reason = next((told[code] for code in _STATES if code in told), "")
    return ListRow(
        checkpoint.path,
        checkpoint.opened.container,
        verdict.dialect.name if verdict else "",
        checkpoint.schema_version,
        known.get("epochs_completed"),
        known.get("optimizer_steps"),
        checkpoint.opened.nbytes,
        _modified_s(checkpoint.path),
        state,
        stored.get("epoch"),
        stored.get("step"),
        reason=reason,
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

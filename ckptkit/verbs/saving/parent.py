"""The checkpoint before this one: its digest, and which of its files are unchanged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes, SlicedBytes
from ckptkit.errors import CkptkitError
from ckptkit.schema import Manifest, parse_manifest
from ckptkit.storage.digest import digest_many, digest_of, digest_of_bytes
from ckptkit.storage.linking import identity_of
from ckptkit.types import MANIFEST_NAME, Limits, Notice
from ckptkit.verbs.planned_file import PlannedFile
from ckptkit.verbs.seal import SealPlan, Unchanged
from ckptkit.verbs.split import is_frozen, is_trainable


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A sealed checkpoint that this one follows. ``digest`` is that of its manifest, in hex."""

    path: FilePath
    manifest: bytes

    @property
    def digest(self) -> str:
        """The last 16 bytes of the manifest."""
        return self.manifest[-16:].hex()


def find_parent(
    parent: FilePath | None, target: FilePath, limits: Limits
) -> tuple[Parent | None, tuple[Notice, ...]]:
    """The checkpoint at ``parent``, else the one that is about to be replaced, if any.

    A parent that cannot be read fails no save: it is said, and everything is written anew.
    """
    path = target if parent is None else parent
    if not os.path.lexists(path / MANIFEST_NAME):
        if parent is None:
            return None, ()
        return None, (_notice(path, "is no sealed checkpoint"),)
    try:
        with FileBytes(path / MANIFEST_NAME) as file:
            if file.nbytes > limits.max_manifest_nbytes:
                return None, (_notice(path, "has a manifest that is too large"),)
            data = file.read(0, file.nbytes)
    except CkptkitError as exc:
        return None, (_notice(path, exc.seen),)
    return Parent(path=path, manifest=data), ()


def _notice(path: FilePath, seen: str) -> Notice:
    message = f"the parent {path.name} {seen}: nothing was linked to it"
    return Notice("warning", "parent-unreadable", message, str(path))


def find_unchanged(
    plan: SealPlan, parent: Parent, *, check_files: bool, workers: int = 2
) -> tuple[dict[str, Unchanged], tuple[Notice, ...]]:
    """The data files without a trainable parameter whose bytes the parent has already.

    The live bytes are hashed and compared with the parent's manifest; with ``check_files`` the
    parent's file is read and compared as well, so that a damaged one is written anew.
    """
    candidates = [file for file in plan.files if _may_be_unchanged(plan, file)]
    if not candidates:
        return {}, ()
    try:
        manifest = parse_manifest(parent.manifest, str(parent.path / MANIFEST_NAME), plan.limits)
    except CkptkitError as exc:
        return {}, (_notice(parent.path, exc.seen),)
    found: dict[str, Unchanged] = {}
    notices: list[Notice] = []
    for file in candidates:
        digests = _known_digests(file, manifest)
        if digests is None or not _live_bytes_are(plan, file, digests, workers):
            continue
        path = parent.path / file.name
        identity = identity_of(path)
        whole = identity is not None and identity.nbytes == file.nbytes
        if whole and check_files:
            whole = _file_holds(path, file, digests, workers)
        if whole and identity is not None:
            found[file.name] = Unchanged(path, identity, digests)
        else:
            notices.append(_damaged(path))
    return found, tuple(notices)


def _damaged(path: FilePath) -> Notice:
    message = f"{path.parent.name}/{path.name} is damaged or missing: it was written anew"
    return Notice("warning", "parent-damaged", message, str(path))


def _may_be_unchanged(plan: SealPlan, file: PlannedFile) -> bool:
    leaves = [plan.flat.leaves[number] for number in file.leaves]
    return (
        file.kind == "data" and any(map(is_frozen, leaves)) and not any(map(is_trainable, leaves))
    )


def _known_digests(file: PlannedFile, manifest: Manifest) -> tuple[bytes, ...] | None:
    """The digests of our parts in the parent's file, if its header is ours to the byte."""
    for number, entry in enumerate(manifest.files):
        same = (entry.name, entry.nbytes, entry.kind) == (file.name, file.nbytes, file.kind)
        if same and entry.digest == digest_of_bytes(file.header):
            table = manifest.tensors
            rows = {table.names[i]: i for i, home in enumerate(table.files) if home == number}
            if all(name in rows for name in file.names):
                return tuple(table.digest(rows[name]) for name in file.names)
    return None


def _live_bytes_are(
    plan: SealPlan, file: PlannedFile, digests: tuple[bytes, ...], workers: int
) -> bool:
    sources = [plan.source(number) for number in file.leaves]
    if digest_of(sources[0]) != digests[0]:  # what changed changed everywhere: no more is hashed
        return False
    return digest_many(sources, workers=workers) == list(digests)


def _file_holds(
    path: FilePath, file: PlannedFile, digests: tuple[bytes, ...], workers: int
) -> bool:
    try:
        with FileBytes(path) as data:
            if data.read(0, len(file.header)) != file.header:
                return False
            parts = [SlicedBytes(data, span.start, span.nbytes) for span in file.spans]
            return digest_many(parts, workers=workers) == list(digests)
    except CkptkitError:
        return False

"""`migrate --recursive`: every checkpoint below a folder, each by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.errors import CkptkitError, CorruptFileError, NoCheckpointError, TargetExistsError
from ckptkit.schema.chain import TARGET
from ckptkit.storage.freespace import storage_error
from ckptkit.verbs.listing import ListRow, list_checkpoints
from ckptkit.verbs.migrate import MigrateOptions, MigrationReport, migrate
from ckptkit.verbs.open import load, open_container
from ckptkit.verbs.targets import check_target, default_target, sealed_above

_SHARDED = "sharded"  # the container whose files are others beside it


class Failure(NamedTuple):
    """A checkpoint that could not be migrated, and why. It is as it was."""

    source: FilePath
    error: CkptkitError


class Skipped(NamedTuple):
    """Something that needs no migration, or is none."""

    source: FilePath
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeReport:
    """What was done below ``root``: a report a checkpoint, and what was left as it is."""

    root: FilePath
    reports: tuple[MigrationReport, ...] = ()
    failures: tuple[Failure, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class _Job(NamedTuple):
    row: ListRow
    target: FilePath


def migrate_tree(
    root: FilePath | str,
    target: FilePath | str | None = None,
    options: MigrateOptions | None = None,
) -> TreeReport:
    """Migrate every checkpoint below ``root``, below ``target`` or each beside its source.

    All targets are chosen before anything is written. One that fails does not stop the others;
    it is in ``failures``, with nothing left behind. With ``remove_source`` the deepest go first.
    Nothing inside a sealed folder is read or written.
    Raises: NotFoundError, and NoCheckpointError if there is nothing to migrate at all.
    """
    root, options = FilePath(root), options or MigrateOptions()
    rows = list_checkpoints(root, limits=options.limits).rows
    if not rows:
        raise NoCheckpointError(root, "holds no checkpoint", "at least one below it")
    shards = _shards(rows, options)
    reasons = {row.path: reason for row in rows if (reason := _why_not(row, shards))}
    skipped = [Skipped(path, reason) for path, reason in reasons.items()]
    todo = [row for row in rows if row.path not in reasons]
    jobs = list(_plan_jobs(todo, root, None if target is None else FilePath(target)))
    if options.remove_source:
        jobs.sort(key=lambda job: -len(job.row.path.parts))
    sources = {FilePath(os.path.realpath(job.row.path)): job.row.path for job in jobs}
    holders = _folders_above(sources)
    reports: list[MigrationReport] = []
    failures: list[Failure] = []
    for job in jobs:
        reason = _why_not_now(job, options)
        if reason:
            skipped.append(Skipped(job.row.path, reason))
            continue
        try:
            _require_no_source(job.target, holders)
            reports.append(_migrate_one(job, options))
        except CkptkitError as exc:
            failures.append(Failure(job.row.path, exc))
    return TreeReport(
        root=root, reports=tuple(reports), failures=tuple(failures), skipped=tuple(skipped)
    )


def _migrate_one(job: _Job, options: MigrateOptions) -> MigrationReport:
    """Migrate one; the folders made for it go again if it fails. Raises: CkptkitError."""
    source, target = job.row.path, job.target
    check_target(source, target, replace=options.replace, limits=options.limits)
    _require_whole(job.row, options)
    if options.dry_run:
        return migrate(source, target, options)
    made: list[FilePath] = []
    try:
        for folder in reversed([target.parent, *target.parent.parents]):
            if not folder.is_dir():
                folder.mkdir()
                made.append(folder)
        return migrate(source, target, options)
    except OSError as exc:
        _unmake(made)
        raise storage_error(exc, target.parent, 0) from exc
    except BaseException:
        _unmake(made)
        raise


def _unmake(made: list[FilePath]) -> None:
    for folder in reversed(made):
        try:
            folder.rmdir()
        except OSError:  # somebody uses it by now
            return


def _shards(rows: Sequence[ListRow], options: MigrateOptions) -> dict[FilePath, FilePath]:
    """Every file that an index names -> the index: it travels with that one alone."""
    found: dict[FilePath, FilePath] = {}
    for row in rows:
        if row.container != _SHARDED or row.state != "whole":
            continue
        try:
            opened = open_container(row.path, options.limits)
        except CkptkitError:  # it changed since it was listed: its own migration says how
            continue
        opened.close()
        found |= {path: row.path for path in opened.files if path != row.path}
    return found


def _why_not(row: ListRow, shards: dict[FilePath, FilePath]) -> str:
    if row.path in shards:
        return f"a part of {shards[row.path].name}"
    if row.state == "leftover":
        return row.reason
    if row.schema_version is not None and row.schema_version >= TARGET:
        return "sealed already"
    holder = sealed_above(row.path)
    return f"lies inside the sealed checkpoint {holder}" if holder else ""


def _why_not_now(job: _Job, options: MigrateOptions) -> str:
    """What changed for a job since the tree was listed, or its target being there already."""
    if not os.path.lexists(job.row.path):
        return "went with another checkpoint of which it was a part"
    if os.path.lexists(job.target) and not options.replace:
        return f"{job.target.name} exists already: ask to replace it to write it anew"
    return ""


def _require_whole(row: ListRow, options: MigrateOptions) -> None:
    """Raise what is wrong with a damaged one, in its own words."""
    if row.state != "whole":
        load(row.path, dialect=options.dialect, limits=options.limits).close()
        raise CorruptFileError(row.path, row.reason or "cannot be read")


def _folders_above(sources: dict[FilePath, FilePath]) -> dict[FilePath, FilePath]:
    """Every source, and every folder in which one lies -> one such source, as the user names it."""
    above = {folder: named for real, named in sources.items() for folder in real.parents}
    return {**above, **sources}


def _require_no_source(target: FilePath, holders: dict[FilePath, FilePath]) -> None:
    held = holders.get(FilePath(os.path.realpath(target)))
    if held is not None:
        raise TargetExistsError(
            target, f"is or holds the checkpoint {held}, which is to be migrated too",
            "a place apart from every source", "migrate this one by itself, to another DST",
        )  # fmt: skip


def _plan_jobs(rows: Sequence[ListRow], root: FilePath, target: FilePath | None) -> Iterator[_Job]:
    """Choose a folder for each result: no two the same, also where case does not count."""
    taken: set[str] = set()
    for row in rows:
        place = default_target(row.path)
        if target is not None:
            is_root = row.path == root
            place = target / (place.name if is_root else place.relative_to(root))
        place = _free_place(place, row.path.name, taken)
        taken.add(str(place).casefold())
        yield _Job(row, place)


def _free_place(place: FilePath, name: str, taken: set[str]) -> FilePath:
    """Two sources that differ in their suffix alone both get a place."""
    free, count = place, 1
    while str(free).casefold() in taken:
        free = place.with_name(f"{name}.v2" + (f"~{count}" if count > 1 else ""))
        count += 1
    return free

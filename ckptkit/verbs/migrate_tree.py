"""`migrate --recursive`: every checkpoint below a folder, each by itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.errors import CkptkitError, CorruptFileError, NoCheckpointError
from ckptkit.verbs.listing import ListRow, list_checkpoints
from ckptkit.verbs.migrate import MigrateOptions, MigrationReport, default_target, migrate
from ckptkit.verbs.open import SCHEMA_VERSION, load


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


def migrate_tree(
    root: FilePath | str,
    target: FilePath | str | None = None,
    options: MigrateOptions | None = None,
) -> TreeReport:
    """Migrate every checkpoint below ``root``, below ``target`` or each beside its source.

    One that fails does not stop the others; it is in ``failures``, with nothing left behind.
    Raises: NotFoundError, and NoCheckpointError if there is nothing to migrate at all.
    """
    root, options = FilePath(root), options or MigrateOptions()
    rows = list_checkpoints(root, limits=options.limits).rows
    if not rows:
        raise NoCheckpointError(root, "holds no checkpoint", "at least one below it")
    reports: list[MigrationReport] = []
    failures: list[Failure] = []
    skipped: list[Skipped] = []
    taken: set[FilePath] = set()
    for row in rows:
        reason = _why_not(row)
        if reason:
            skipped.append(Skipped(row.path, reason))
            continue
        place = _target_of(row.path, root, None if target is None else FilePath(target), taken)
        if os.path.lexists(place) and not options.replace:
            reason = f"{place.name} exists already: ask to replace it to write it anew"
            skipped.append(Skipped(row.path, reason))
            continue
        try:
            _require_whole(row, options)
            if not options.dry_run:
                place.parent.mkdir(parents=True, exist_ok=True)
            reports.append(migrate(row.path, place, options))
        except CkptkitError as exc:
            failures.append(Failure(row.path, exc))
    return TreeReport(
        root=root, reports=tuple(reports), failures=tuple(failures), skipped=tuple(skipped)
    )


def _why_not(row: ListRow) -> str:
    if row.state == "leftover":
        return row.reason
    if row.schema_version is not None and row.schema_version >= SCHEMA_VERSION:
        return "sealed already"
    return ""


def _require_whole(row: ListRow, options: MigrateOptions) -> None:
    """Raise what is wrong with a damaged one, in its own words."""
    if row.state != "whole":
        load(row.path, dialect=options.dialect, limits=options.limits).close()
        raise CorruptFileError(row.path, row.reason or "cannot be read")


def _target_of(
    source: FilePath, root: FilePath, target: FilePath | None, taken: set[FilePath]
) -> FilePath:
    """The folder of one result; of two sources that differ in their suffix both get a place."""
    place = default_target(source)
    if place in taken:
        place = source.with_name(source.name + ".v2")
    taken.add(place)
    if target is None:
        return place
    below = place.relative_to(root.parent if source == root else root)
    return target / below

"""The verb `migrate`: a checkpoint into a sealed v2 folder, and the proof that nothing was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from ckptkit.errors import LimitExceededError, MigrationError
from ckptkit.schema.chain import TARGET
from ckptkit.tree import path_text
from ckptkit.types import DEFAULT_LIMITS, Limits, Notice
from ckptkit.verbs.accounting import Placed
from ckptkit.verbs.caveats import caveats
from ckptkit.verbs.danger_notice import danger_notices
from ckptkit.verbs.evolving.account import is_told
from ckptkit.verbs.evolving.asked import Evolved, Versions, account, evolve
from ckptkit.verbs.open import Checkpoint, load
from ckptkit.verbs.origin import with_origin, with_renamed_files
from ckptkit.verbs.removal import check_removable, remove_source, stamp_of, take_stock
from ckptkit.verbs.seal import Sealing, SealOptions, SealPlan, plan_seal, seal
from ckptkit.verbs.targets import check_target, default_target

__all__ = ["MigrateOptions", "MigrationReport", "default_target", "migrate"]

MAX_LOST_SHOWN = 5
AS_THEY_ARE = Versions()


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateOptions:
    """How to migrate. ``versions``: those that a trainer's sections are to have.

    ``created`` is the time to record (ISO 8601), empty for none.
    ``progress`` is called with (bytes done since the last call); ``started`` with the bytes that
    the work will move in all.
    """

    dialect: str | None = None
    versions: Versions = AS_THEY_ARE
    limits: Limits = DEFAULT_LIMITS
    dry_run: bool = False
    replace: bool = False
    remove_source: bool = False
    created: str = ""
    workers: int = 2
    started: Callable[[int], None] | None = None
    progress: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What was, or with a dry run what would be, done, key by key.

    ``placed`` has every leaf of the source; ``sealing`` what lies in the target. ``proved`` says
    that every tensor was read back equal, and every other leaf found again. ``source_removed``
    says that all of the source went; ``left_behind`` has "name: reason" for what did not.
    """

    source: FilePath
    target: FilePath
    container: str
    dialect: str
    evidence: tuple[str, ...]
    from_version: int
    to_version: int
    steps: tuple[str, ...]
    placed: tuple[Placed, ...]
    sealing: Sealing
    notices: tuple[Notice, ...] = ()
    dry_run: bool = False
    proved: bool = False
    source_removed: bool = False
    left_behind: tuple[str, ...] = ()


def migrate(
    source: FilePath | str,
    target: FilePath | str | None = None,
    options: MigrateOptions | None = None,
) -> MigrationReport:
    """Write ``source`` as a sealed v2 folder at ``target``, verified; the source stays.

    With ``remove_source`` exactly the files that were read go afterwards; what cannot or must
    not go is told in ``left_behind``, and is no error.
    Raises: TargetExistsError, WriteFailedError for a target that may not be written or replaced,
    UnsafePathError for a source that may not be removed; MigrationError if a leaf would be lost
    or read back different; whatever opening and writing raise. After an error there is no target.
    """
    options = options or MigrateOptions()
    source = FilePath(source)
    target = default_target(source) if target is None else FilePath(target)
    check_target(source, target, replace=options.replace, limits=options.limits)
    if options.remove_source:
        check_removable(source)
    before = stamp_of(source)
    with load(source, dialect=options.dialect, limits=options.limits) as checkpoint:
        evolved = evolve(checkpoint, options.versions)
        _refuse_sealed(checkpoint, evolved, options)
        stock = take_stock(checkpoint.opened, before)
        plan = _plan(evolved, options.limits)  # first: it refuses what is nested too deeply
        placed = tuple(_account(checkpoint, evolved))
        sealing = _written(plan, target, evolved, options)
        report = _report(evolved, target, placed, sealing, caveats(plan))
    if options.dry_run:
        return replace(report, dry_run=True)
    if not options.remove_source:
        return report
    removal = remove_source(stock)
    return replace(
        report,
        source_removed=removal.source_removed,
        left_behind=removal.left_behind,
        notices=(*report.notices, *removal.notices),
    )


def _plan(evolved: Evolved, limits: Limits) -> SealPlan:
    """The layout; a second time where a file needs another name, which is then told inside."""
    document, side_files = with_origin(evolved.checkpoint, evolved.facts), evolved.side_files()
    plan = plan_seal(document, side_files, limits)
    check_growth(plan, evolved.checkpoint, limits)
    if not plan.renamed_files:
        return plan
    return plan_seal(with_renamed_files(document, plan.renamed_files), side_files, limits)


def check_growth(plan: SealPlan, checkpoint: Checkpoint, limits: Limits) -> None:
    """Stop a small file whose many expanded views would fill the disk.

    Raises: LimitExceededError.
    """
    nbytes, most = plan.needed_nbytes, limits.max_growth_nbytes
    most = max(most, limits.max_growth_ratio * checkpoint.opened.nbytes)
    if nbytes > most:
        raise LimitExceededError(
            checkpoint.path,
            f"its tensors would take {nbytes:,} bytes once each has its own, and the source has "
            f"{checkpoint.opened.nbytes:,}",
            f"at most {most:,}",
            "if it is meant so, raise --limit max_growth_nbytes=N",
        )


def _written(
    plan: SealPlan, target: FilePath, evolved: Evolved, options: MigrateOptions
) -> Sealing:
    if options.dry_run:
        return plan.as_sealing()
    sealing_options = SealOptions(
        replace=options.replace,
        label=evolved.label(options.created),
        workers=options.workers,
        started=options.started,
        progress=options.progress,
    )
    return seal(plan, target, sealing_options)


def _report(
    evolved: Evolved,
    target: FilePath,
    placed: tuple[Placed, ...],
    sealing: Sealing,
    notices: tuple[Notice, ...],
) -> MigrationReport:
    checkpoint, migration = evolved.checkpoint, evolved.migration
    verdict = checkpoint.verdict
    notices = (*notices, *(Notice("warning", "left-behind", note) for note in migration.notes))
    if sealing.old_left is not None:
        message = "the replaced checkpoint could not be removed; the next writer here tries again"
        notices = (*notices, Notice("warning", "old-left", message, str(sealing.old_left)))
    return MigrationReport(
        source=checkpoint.path,
        target=target,
        container=checkpoint.opened.container,
        dialect=verdict.dialect.name if verdict else "",
        evidence=verdict.evidence if verdict else (),
        from_version=checkpoint.schema_version,
        to_version=TARGET,
        steps=(*checkpoint.steps, *migration.titles),
        placed=placed,
        sealing=sealing,
        notices=(*danger_notices(checkpoint.opened), *checkpoint.notices, *notices),
        proved=sealing.proved,
    )


def _refuse_sealed(checkpoint: Checkpoint, evolved: Evolved, options: MigrateOptions) -> None:
    """A sealed source is only led from one version of its sections to another."""
    if checkpoint.sealed is None:
        return
    if evolved.migration.titles and options.remove_source:
        raise MigrationError(
            checkpoint.path, "is sealed, and would be removed", "a source that stays",
            "remove the folder yourself once you need it no more",
        )  # fmt: skip
    if options.versions.to and not evolved.migration.titles:
        versions = ", ".join(f"{k} {v}" for k, v in evolved.migration.versions.items())
        raise MigrationError(
            checkpoint.path, f"has the asked versions already ({versions})", "something to do"
        )
    if not evolved.migration.titles:
        raise MigrationError(
            checkpoint.path,
            f"is a sealed checkpoint of schema {checkpoint.schema_version} already",
            "an older or foreign checkpoint",
            "there is nothing to do; copy the folder if you want another one",
        )


def _account(checkpoint: Checkpoint, evolved: Evolved) -> Iterator[Placed]:
    """Every leaf with its new place, or with the operation that dropped it.

    Raises: MigrationError if one has neither.
    """
    lost = []
    for row in account(checkpoint, evolved):
        if row.target is None and not is_told(row):
            lost.append(path_text(row.source))
        yield row
    if lost:
        name = checkpoint.verdict.dialect.name if checkpoint.verdict else "?"
        shown = ", ".join(lost[:MAX_LOST_SHOWN])
        raise MigrationError(
            checkpoint.path,
            f"the dialect {name} gives no place to {len(lost)} of its leaves ({shown} ...)",
            "a place for every leaf",
            "report this, and migrate with --dialect unknown until it is mended",
        )

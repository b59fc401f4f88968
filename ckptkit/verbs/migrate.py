"""The verb `migrate`: a checkpoint into a sealed v2 folder, and the proof that nothing was lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath

from ckptkit.errors import MigrationError, TargetExistsError
from ckptkit.nodes import MapNode
from ckptkit.tree import path_text
from ckptkit.types import DEFAULT_LIMITS, Limits, Notice
from ckptkit.verbs.accounting import Placed, account_for
from ckptkit.verbs.open import SCHEMA_VERSION, Checkpoint, load
from ckptkit.verbs.origin import with_origin
from ckptkit.verbs.seal import Sealing, SealOptions, plan_seal, seal

MAX_LOST_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateOptions:
    """How to migrate. ``created`` is the time to record (ISO 8601), empty for none.

    ``progress`` is called with (bytes done since the last call); ``started`` with the bytes that
    the work will move in all.
    """

    dialect: str | None = None
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
    that every tensor was read back equal, and every other leaf found again.
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


def default_target(source: FilePath) -> FilePath:
    """The folder beside the source: its name without a checkpoint's suffix, or with ``.v2``."""
    name = source.name
    for suffix in (".pth.tar", ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".safetensors", ".tar"):
        if name.lower().endswith(suffix) and len(name) > len(suffix) and not source.is_dir():
            return source.with_name(name[: -len(suffix)])
    return source.with_name(name + ".v2")


def migrate(
    source: FilePath | str,
    target: FilePath | str | None = None,
    options: MigrateOptions | None = None,
) -> MigrationReport:
    """Write ``source`` as a sealed v2 folder at ``target``, verified; the source stays.

    Raises: MigrationError if a leaf would be lost or read back different; whatever opening and
    writing raise. After an error there is no target.
    """
    options = options or MigrateOptions()
    source = FilePath(source)
    target = default_target(source) if target is None else FilePath(target)
    with load(source, dialect=options.dialect, limits=options.limits) as checkpoint:
        _refuse_sealed(checkpoint)
        placed = tuple(_account(checkpoint))
        document = with_origin(checkpoint)
        report = _report(checkpoint, target, placed, document, options)
    if options.remove_source and not options.dry_run:
        _remove(source)
    return report


def _report(
    checkpoint: Checkpoint,
    target: FilePath,
    placed: tuple[Placed, ...],
    document: MapNode,
    options: MigrateOptions,
) -> MigrationReport:
    side_files = checkpoint.opened.properties.get("side_files", MapNode())
    plan = plan_seal(document, tuple(side_files.values()), options.limits)
    if options.dry_run:
        if target.exists() and not options.replace:
            raise TargetExistsError(
                target, "exists already", advice="name another DST or --replace"
            )
        sealing = plan.as_sealing()
    else:
        sealing = seal(
            plan,
            target,
            SealOptions(
                replace=options.replace,
                created=options.created,
                workers=options.workers,
                started=options.started,
                progress=options.progress,
            ),
        )
    verdict = checkpoint.verdict
    return MigrationReport(
        source=checkpoint.path,
        target=target,
        container=checkpoint.opened.container,
        dialect=verdict.dialect.name if verdict else "",
        evidence=verdict.evidence if verdict else (),
        from_version=checkpoint.schema_version,
        to_version=SCHEMA_VERSION,
        steps=checkpoint.steps,
        placed=placed,
        sealing=sealing,
        notices=checkpoint.notices,
        dry_run=options.dry_run,
        proved=sealing.proved,
        source_removed=options.remove_source and not options.dry_run,
    )


def _refuse_sealed(checkpoint: Checkpoint) -> None:
    if checkpoint.sealed is not None:
        raise MigrationError(
            checkpoint.path,
            f"is a sealed checkpoint of schema {checkpoint.schema_version} already",
            "an older or foreign checkpoint",
            "there is nothing to do; copy the folder if you want another one",
        )


def _account(checkpoint: Checkpoint) -> Iterator[Placed]:
    """Every leaf with its new place. Raises: MigrationError if one has none."""
    lost = []
    for row in account_for(checkpoint.opened.root, checkpoint.document, checkpoint.moves):
        if row.target is None:
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


def _remove(source: FilePath) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.rmtree(source)
    else:
        source.unlink()

"""Plan a restore from end to end, and carry it out if nothing refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from ckptkit.containers.gc_pause import paused_gc
from ckptkit.errors import CkptkitError
from ckptkit.report.values import ComponentReport, LoadReport
from ckptkit.verbs.open import Checkpoint, load
from ckptkit.verbs.restoring.asked_for import AskedFor
from ckptkit.verbs.restoring.components import import_bridge, plan_components
from ckptkit.verbs.restoring.digests import DigestBook
from ckptkit.verbs.restoring.half_done import HALF_DONE
from ckptkit.verbs.restoring.left import left_sections
from ckptkit.verbs.restoring.migrated import migrate_document, with_migrated
from ckptkit.verbs.restoring.nested import flat_targets, with_nested_sections
from ckptkit.verbs.restoring.overlaps import check_apart
from ckptkit.verbs.restoring.path_naming import naming
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.refusal import refusal
from ckptkit.verbs.restoring.unknown_fields import unknown_fields
from ckptkit.verbs.section_migration import SectionMigration

Source = FilePath | str | Checkpoint


def run_restore(
    source: Source, targets: Mapping[str, Any], asked: AskedFor, *, planned: bool
) -> LoadReport:
    """Restore, or only plan to. Raises: as ``ckptkit.restore``."""
    if not isinstance(targets, Mapping):
        raise TypeError(
            f"targets is of class {type(targets).__name__}, not a mapping of section names to live "
            'objects: write restore(path, {"model": model, ...})'
        )
    import_bridge("kinds")
    with paused_gc():  # once around all of it: each end of a pause looks at all that is new
        if isinstance(source, Checkpoint):
            return _run(source, targets, asked, planned=planned)
        with load(source, dialect=asked.dialect, limits=asked.limits) as checkpoint:
            return _run(checkpoint, targets, asked, planned=planned)


def _run(
    opened: Checkpoint, targets: Mapping[str, Any], asked: AskedFor, *, planned: bool
) -> LoadReport:
    named = flat_targets(targets)
    migration = migrate_document(opened, asked.trainer, asked.migrators)
    document = with_nested_sections(migration.document, [name for name, _ in named])
    checkpoint = replace(opened, document=document)
    request = Request(
        checkpoint=checkpoint, targets=targets, mode=asked.mode, policy=asked.policy,
        settings=asked.settings, use=asked.use, device=asked.device, planned=planned,
        digests=DigestBook(checkpoint),
    )  # fmt: skip
    parts = plan_components(named, request)
    told = [part.report for part in parts]
    report = _report(request, with_migrated(told, migration), migration)
    if not report.ok:
        error = refusal(report, parts)
        if planned and isinstance(error.report, LoadReport):
            return error.report
        raise error
    if planned:
        return report
    _carry_out(parts, request, asked)
    return replace(
        report, components=with_migrated((part.outcome(part.report) for part in parts), migration)
    )


def _carry_out(parts: Sequence[Planned], request: Request, asked: AskedFor) -> None:
    """Prepare all, bring the bytes of all in, finish all. Raises: ContainerError, RestoreError."""
    from ckptkit.verbs.restoring.filling import fill_all

    assert request.digests is not None
    fills = [fill for part in parts for fill in part.prepare()]
    check_apart(fills)
    with naming(request.checkpoint.path):
        fill_all(fills, request.digests, workers=asked.workers, progress=asked.progress)
    try:
        for part in parts:
            part.finish()
    except CkptkitError:
        raise
    except BaseException as exc:
        exc.add_note(f"ckptkit: {HALF_DONE}")
        raise


def _report(
    request: Request, components: Sequence[ComponentReport], migration: SectionMigration
) -> LoadReport:
    checkpoint = request.checkpoint
    return LoadReport(
        path=str(checkpoint.path),
        dialect=checkpoint.dialect,
        schema_version=checkpoint.schema_version,
        mode=request.mode,
        planned=request.planned,
        components=tuple(components),
        migrated=(*checkpoint.steps, *migration.titles),
        schema_steps=len(checkpoint.steps),
        left=tuple(left_sections(components, request)),
        notes=(
            *_notes(request, is_refused=any(one.faults for one in components)),
            *migration.notes,
            *unknown_fields(request.settings, checkpoint.document, request.targets.values()),
        ),
    )


def _notes(request: Request, *, is_refused: bool) -> Iterator[str]:
    checkpoint = request.checkpoint
    for notice in checkpoint.notices:
        if notice.level != "info":
            yield notice.message
    if is_refused or request.planned or checkpoint.sealed is not None:
        return  # nothing was read, or its digests were checked
    if checkpoint.opened.container in _WITH_CRC:
        yield "the bytes were compared with the CRC-32 of the zip file"
    else:
        yield "this kind of file has no checksums: only its structure was checked"


_WITH_CRC = ("torch-zip", "torchscript", "torch-export")

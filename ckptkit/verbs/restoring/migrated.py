"""The document of a checkpoint as today's trainer lays it out: migrators applied in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ckptkit.protocols import SectionMigrator
from ckptkit.report.values import ComponentReport
from ckptkit.verbs.evolving.guarded import guard_consumed
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.section_migration import SectionMigration, migrate_sections


def migrate_document(
    checkpoint: Checkpoint, trainer: str, migrators: Sequence[SectionMigrator]
) -> SectionMigration:
    """Lead every section to its newest version, by what is registered and by ``migrators``.

    ``trainer`` names whose migrators apply; "" is the one that the checkpoint itself names. No
    file is changed. Raises: MigrationError, NewerSchemaError.
    """
    from ckptkit.verbs.migrators import known_migrators, owner_of

    manifest = None if checkpoint.sealed is None else checkpoint.sealed.manifest
    versions = {} if manifest is None else {one.name: one.version for one in manifest.sections}
    owner = owner_of(trainer, migrators, "" if manifest is None else manifest.trainer)
    if not owner:
        return SectionMigration(document=checkpoint.document, versions=versions)
    known = known_migrators(migrators)
    migration = migrate_sections(checkpoint.document, owner, versions, known)
    if checkpoint.sealed is not None and migration.rounds:
        guard_consumed(checkpoint.sealed, checkpoint.document, migration.rounds)
    return migration


def with_migrated(
    components: Iterable[ComponentReport], migration: SectionMigration
) -> tuple[ComponentReport, ...]:
    """The reports, each with the lines of the section that fills it.

    An optimizer whose state could not be led along is restored in part only.
    """
    told = []
    for one in components:
        section = (one.source or one.name).partition("/")[0]
        lines = migration.lines.get(section, ())
        lost = one.kind == "optimizer" and any(line.kind == "dropped" for line in lines)
        status = "partly" if lost and one.status == "restored" else one.status
        told.append(replace(one, lines=(*one.lines, *lines), status=status) if lines else one)
    return tuple(told)

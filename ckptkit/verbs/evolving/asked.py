"""What `migrate` is asked to do with sections, and what it comes to for one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ckptkit.errors import MigrationError
from ckptkit.nodes import BlobNode, MapNode, Node, Path, SeqNode
from ckptkit.protocols import Move, SectionMigrator
from ckptkit.schema.section_chain import newest, of_section
from ckptkit.verbs.accounting import Placed, account_for
from ckptkit.verbs.evolving.account import account_rounds
from ckptkit.verbs.evolving.guarded import guard_all
from ckptkit.verbs.manifest_rows import Label
from ckptkit.verbs.migrators import known_migrators, owner_of
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.origin import EARLIER
from ckptkit.verbs.section_migration import SectionMigration, migrate_sections

ANY_SECTION = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Which versions the sections of which trainer are to have.

    ``to``: section -> version; the section "" is the only one that the trainer has migrators for;
    the version 0 is the newest. Empty: sections stay as they are. ``migrators`` are those that
    the caller names; the plugins' are known beside.
    """

    trainer: str = ""
    to: Mapping[str, int] = field(default_factory=dict)
    migrators: tuple[SectionMigrator, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolved:
    """A checkpoint whose document is migrated, and what its manifest is to say of it."""

    checkpoint: Checkpoint
    migration: SectionMigration
    trainer: str
    facts: Mapping[str, Node]

    def label(self, created: str) -> Label:
        """What the manifest says of the versions, and what it said that nobody knows here."""
        sealed = self.checkpoint.sealed
        unknown = {} if sealed is None else sealed.manifest.unknown
        return Label(created, self.trainer, self.migration.versions, unknown)

    def side_files(self) -> tuple[BlobNode, ...]:
        """The files that travel as they are."""
        opened, sealed = self.checkpoint.opened, self.checkpoint.sealed
        if sealed is None:
            return tuple(opened.properties.get("side_files", MapNode()).values())
        files = opened.root["files"]
        return tuple(files[entry.name] for entry in sealed.manifest.files if entry.kind == "side")


def evolve(checkpoint: Checkpoint, asked: Versions) -> Evolved:
    """Plan the migration of sections; no large tensor is read. Raises: SchemaError."""
    manifest = None if checkpoint.sealed is None else checkpoint.sealed.manifest
    stated = "" if manifest is None else manifest.trainer
    trainer = owner_of(asked.trainer, asked.migrators, stated)
    found = {} if manifest is None else {one.name: one.version for one in manifest.sections}
    migration = SectionMigration(document=checkpoint.document, versions=found)
    if checkpoint.sealed is not None:
        guard_all(checkpoint.sealed)
    if asked.to:
        if not trainer:
            raise MigrationError(
                checkpoint.path, "names no trainer, and versions belong to one", "a trainer",
                "name whose checkpoint it is: --trainer NAME",
            )  # fmt: skip
        known = known_migrators(asked.migrators)
        to = _targets(trainer, known, asked.to)
        migration = migrate_sections(checkpoint.document, trainer, found, known, to)
    return Evolved(
        checkpoint=replace(checkpoint, document=migration.document),
        migration=migration,
        trainer=trainer,
        facts=_facts(trainer, found, migration),
    )


def _targets(
    trainer: str, known: tuple[SectionMigrator, ...], to: Mapping[str, int]
) -> dict[str, int] | None:
    """Section -> version, no open words left; None for the newest of all."""
    sections = list(dict.fromkeys(one.section for one in known if one.trainer == trainer))
    if dict(to) == {ANY_SECTION: 0}:
        return None
    targets = {}
    for section, version in to.items():
        name = section
        if section == ANY_SECTION:
            if len(sections) != 1:
                raise MigrationError(
                    f"--to {version}", f"{trainer} has migrators for {_listed(sections)}",
                    "one section", "say which: --to SECTION=VERSION",
                )  # fmt: skip
            name = sections[0]
        targets[name] = version or newest(of_section(known, trainer, name), 1)
    return targets


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "no section"


def _facts(trainer: str, found: Mapping[str, int], migration: SectionMigration) -> dict[str, Node]:
    """What the provenance keeps: versions before and after, titles, whence each tensor came."""
    if not migration.titles:
        return {}
    versions = {
        name: SeqNode([found.get(name, 1), version], "tuple")
        for name, version in migration.versions.items()
        if version != found.get(name, 1)
    }
    derived = {
        section: MapNode(
            {
                line.name: MapNode({"from": SeqNode(line.source.split(", ")), "by": line.detail})
                for line in lines
                if line.kind == "migrated" and line.source
            }
        )
        for section, lines in migration.lines.items()
    }
    return {
        "trainer": trainer,
        "versions": MapNode(versions),
        "section_steps": SeqNode(list(migration.titles)),
        "derived": MapNode({name: node for name, node in derived.items() if len(node)}),
    }


def account(original: Checkpoint, evolved: Evolved) -> list[Placed]:
    """Where every leaf of the source lies in the migrated document, or why it does not."""
    document, rounds = original.document, evolved.migration.rounds
    if original.sealed is not None:
        placed = account_for(document, document, (Move((), ()),))
    else:
        placed = account_for(original.opened.root, document, original.moves)
    rows = account_rounds(document, rounds, placed)
    if original.sealed is None:
        return rows
    return [row._replace(target=_earlier(row.target)) for row in rows]


def _earlier(path: Path | None) -> Path | None:
    """Where the origin that a sealed source told lies in ours."""
    lead = EARLIER[:2]
    return path if path is None or path[:2] != lead else (*EARLIER, *path[2:])

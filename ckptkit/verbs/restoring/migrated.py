"""The document of a checkpoint as today's trainer lays it out: migrators applied in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckptkit.nodes import MapNode
from ckptkit.verbs.open import Checkpoint


def migrate_document(
    checkpoint: Checkpoint, trainer: str, migrators: Sequence[Any]
) -> tuple[MapNode, tuple[str, ...]]:
    """Return the migrated document and the titles of what was applied; no file is changed.

    ``trainer`` names whose migrators apply; "" is the one that the checkpoint itself names.
    """
    sealed = checkpoint.sealed
    trainer = trainer or ("" if sealed is None else sealed.manifest.trainer)
    if not trainer and not migrators:
        return checkpoint.document, ()
    from ckptkit.verbs.section_migration import migrate_sections

    versions = (
        {} if sealed is None else {entry.name: entry.version for entry in sealed.manifest.sections}
    )
    document, _, titles = migrate_sections(checkpoint.document, trainer, versions, migrators, None)
    return document, tuple(titles)

"""What a migrated checkpoint says of where it came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path as FilePath

from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.tree import path_text
from ckptkit.verbs.open import Checkpoint

NOTHING: Mapping[str, Node] = {}
EARLIER = ("provenance", "migrated_from", "earlier")


def with_origin(checkpoint: Checkpoint, facts: Mapping[str, Node] = NOTHING) -> MapNode:
    """The document with ``provenance.migrated_from`` added: container, dialect, evidence, renames.

    A name that lost a wrapper's prefix is listed under its old one, so nothing is forgotten.
    ``facts`` are more keys of it; what a sealed source said of its own origin is ``earlier``.
    Source: docs/format.md, section "provenance".
    """
    verdict = checkpoint.verdict
    origin = MapNode(
        {
            "name": own_name(checkpoint.path),
            "nbytes": checkpoint.opened.nbytes,
            "container": checkpoint.opened.container,
            "schema": checkpoint.schema_version,
            "dialect": verdict.dialect.name if verdict else None,
            "evidence": SeqNode(list(verdict.evidence) if verdict else []),
            "steps": SeqNode(list(checkpoint.steps)),
            "properties": _plain_properties(checkpoint),
            "renamed": MapNode(
                {
                    path_text(move.target): MapNode(dict(_renamed(move.renamed)))
                    for move in checkpoint.moves
                    if move.renamed
                }
            ),
        }
    )
    old = checkpoint.document.get("provenance")
    pairs = old.items() if isinstance(old, MapNode) else []
    for key, value in facts.items():
        origin[key] = value
    if checkpoint.sealed is not None and isinstance(old, MapNode) and EARLIER[1] in old:
        origin[EARLIER[2]] = old[EARLIER[1]]
    provenance = MapNode([*pairs, ("migrated_from", origin)])
    if old is not None and not isinstance(old, MapNode):
        provenance["as_stored"] = old
    kept = [(name, node) for name, node in checkpoint.document.items() if name != "provenance"]
    return MapNode([*kept, ("provenance", provenance)])


def with_renamed_files(document: MapNode, renamed: dict[str, str]) -> MapNode:
    """The same with ``migrated_from.renamed_files``: safe name -> the name that a file had."""
    if not renamed:
        return document
    provenance = document["provenance"]
    origin = MapNode([*provenance["migrated_from"].items(), ("renamed_files", MapNode(renamed))])
    changed = MapNode([*provenance.items()])
    changed["migrated_from"] = origin
    return MapNode([*document.items(), ("provenance", changed)])


def own_name(path: FilePath) -> str:
    """The last component, of ``.`` and ``..`` too."""
    return path.name if path.name not in ("", "..") else FilePath(os.path.realpath(path)).name


def _renamed(renamed: object) -> dict[str, str]:
    """New name -> old name, where they differ."""
    assert hasattr(renamed, "items")
    return {new: old for old, new in renamed.items() if new != old}


def _plain_properties(checkpoint: Checkpoint) -> MapNode:
    """What the container said of itself, apart from the side files, which travel as files."""
    pairs = [(k, v) for k, v in checkpoint.opened.properties.items() if k != "side_files"]
    return MapNode(pairs)

"""Where save put what it was given under a name that is no section's."""

from __future__ import annotations

from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.tree import resolve

RENAMED = "renamed"


def find_renamed(document: MapNode, name: str) -> Node | None:
    """What stood under ``name`` in the state that was saved; None if that kept its name.

    Source: docs/format.md section "Sections (v2)", ``provenance``.
    """
    node: object = document
    for key in ("provenance", "saved", RENAMED, name):
        node = node.get(key) if isinstance(node, MapNode) else None
    if not isinstance(node, SeqNode):
        return None
    try:
        return resolve(document, tuple(node.items))
    except (KeyError, TypeError):  # the record is data like any other
        return None

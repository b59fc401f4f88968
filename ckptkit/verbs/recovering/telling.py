"""What a recovered checkpoint says of itself, so that it cannot pass for a whole one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckptkit.containers.salvage import RAW_KEY
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.verbs.recovered_mark import KEY
from ckptkit.verbs.recovering.pruning import Lost


def with_recovery(document: MapNode, facts: Mapping[str, Node], lost: Sequence[Lost]) -> MapNode:
    """The document with ``provenance.recovered``: ``facts``, and what is lost by name and reason.

    Source: docs/format.md, section "provenance".
    """
    rows = [
        MapNode({
            "name": one.name, "shape": None if one.shape is None else SeqNode([*one.shape]),
            "dtype": one.dtype, "reason": one.reason,
        })
        for one in lost
    ]  # fmt: skip
    told = MapNode([*facts.items(), ("lost", SeqNode(rows))])
    old = document.get("provenance")
    pairs = old.items() if isinstance(old, MapNode) else []
    provenance = MapNode([*((k, v) for k, v in pairs if k != KEY), (KEY, told)])
    if old is not None and not isinstance(old, MapNode):
        provenance["as_stored"] = old
    kept = [(name, node) for name, node in document.items() if name != "provenance"]
    return MapNode([*kept, ("provenance", provenance)])


def with_raw(document: MapNode, raw: Mapping[str, Mapping[str, TensorNode]]) -> MapNode:
    """The document with the records that nothing names below ``extra``."""
    if not raw:
        return document
    records = ((name, MapNode(records.items())) for name, records in raw.items())
    return with_extra(document, RAW_KEY, MapNode(records))


def with_extra(document: MapNode, key: str, added: Node) -> MapNode:
    """The document with ``added`` under a key of ours below ``extra``."""
    old = document.get("extra")
    pairs = old.items() if isinstance(old, MapNode) else [] if old is None else [("as_stored", old)]
    kept = [(name, node) for name, node in document.items() if name != "extra"]
    return MapNode([*kept, ("extra", MapNode([*pairs, (key, added)]))])

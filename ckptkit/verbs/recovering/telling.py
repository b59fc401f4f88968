"""What a recovered checkpoint says of itself, so that it cannot pass for a whole one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckptkit.containers.salvage import RAW_KEY
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.types import Notice
from ckptkit.verbs.recovering.pruning import Lost

KEY = "recovered"
_MAX_SHOWN = 3


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
    added = MapNode((name, MapNode(records.items())) for name, records in raw.items())
    old = document.get("extra")
    pairs = old.items() if isinstance(old, MapNode) else [] if old is None else [("as_stored", old)]
    kept = [(name, node) for name, node in document.items() if name != "extra"]
    return MapNode([*kept, ("extra", MapNode([*pairs, (RAW_KEY, added)]))])


def recovery_notices(document: MapNode) -> tuple[Notice, ...]:
    """The warning that every verb shows of a checkpoint that is what was left of another."""
    provenance = document.get("provenance")
    told = provenance.get(KEY) if isinstance(provenance, MapNode) else None
    if not isinstance(told, MapNode):
        return ()
    lost, guessed = _rows(told.get("lost")), _rows(told.get("guessed"))
    if not lost and not guessed:
        return ()
    name = told.get("name")
    message = f"recovered from {name if isinstance(name, str) else 'another file'!a:.200}"
    if lost:
        names = [str(row.get("name"))[:100] for row in lost if isinstance(row, MapNode)]
        more = " ..." if len(names) > _MAX_SHOWN else ""
        message += f", which was damaged: {len(lost):,} parts are lost"
        message += f" ({', '.join(names[:_MAX_SHOWN])}{more}; provenance/recovered/lost has all)"
    if guessed:
        message += "; not proved: " + "; ".join(str(one)[:300] for one in guessed[:_MAX_SHOWN])
    return (Notice("warning", "recovered", message),)


def _rows(node: Node) -> list[Node]:
    return node.items if isinstance(node, SeqNode) else []

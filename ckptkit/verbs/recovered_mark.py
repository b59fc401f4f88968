"""The mark of a checkpoint that is what was left of another: found in its provenance, told."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.errors import ManifestError
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.schema import Manifest
from ckptkit.tree import unflatten
from ckptkit.types import Limits, Notice

KEY = "recovered"  # docs/format.md, section "provenance"
_SECTION = "provenance"
_MAX_SHOWN = 3


def recovery_notices(document: MapNode) -> tuple[Notice, ...]:
    """The warning that every verb shows of such a checkpoint; none for any other."""
    provenance = document.get(_SECTION)
    told = provenance.get(KEY) if isinstance(provenance, MapNode) else None
    if not isinstance(told, MapNode):
        return ()
    lost, guessed = _rows(told.get("lost")), _rows(told.get("guessed"))
    if not lost and not guessed:
        return ()
    return (Notice("warning", "recovered", f"{_whence(told)}{_losses(lost)}{_doubts(guessed)}"),)


def lost_names(document: MapNode) -> Iterator[str]:
    """Yield the places in the document of what ``recover`` could not save."""
    provenance = document.get(_SECTION)
    told = provenance.get(KEY) if isinstance(provenance, MapNode) else None
    for row in _rows(told.get("lost")) if isinstance(told, MapNode) else ():
        name = row.get("name") if isinstance(row, MapNode) else None
        if isinstance(name, str):
            yield name


def marked_in(manifest: Manifest, limits: Limits) -> tuple[Notice, ...]:
    """The same, read from a manifest whose files nobody opened."""
    entry = manifest.section(_SECTION)
    if entry is None:
        return ()
    try:
        node = unflatten(entry.tokens, (), limits, _SECTION)
    except ManifestError:  # somebody's tensors are in it, so recover did not write it
        return ()
    return recovery_notices(MapNode({_SECTION: node}))


def _whence(told: MapNode) -> str:
    name = told.get("name")
    return f"recovered from {name:.200}" if isinstance(name, str) else "recovered"


def _losses(lost: list[Node]) -> str:
    if not lost:
        return ""
    names = [str(row.get("name"))[:100] for row in lost[:_MAX_SHOWN] if isinstance(row, MapNode)]
    more = " ..." if len(lost) > _MAX_SHOWN else ""
    parts = "1 part is" if len(lost) == 1 else f"{len(lost):,} parts are"
    return f", which was damaged: {parts} lost ({', '.join(names)}{more})"


def _doubts(guessed: list[Node]) -> str:
    if not guessed:
        return ""
    return "; not certain: " + "; ".join(str(one)[:300] for one in guessed[:_MAX_SHOWN])


def _rows(node: Node) -> list[Node]:
    return node.items if isinstance(node, SeqNode) else []

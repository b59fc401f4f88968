"""Fields that a choice of ``on_conflict`` names and that nothing here has: a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from ckptkit.match.values import SettingPolicy
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.verbs.restoring.settling import FOLLOWS, IMPLEMENTATION

_SECTIONS = ("optimizer", "scheduler", "scaler", "ema")
_LARGE = frozenset({"state", "weights", "shadow_params"})  # tensors by name or number: no settings
_MAX_DEPTH = 6


def unknown_fields(policy: SettingPolicy, document: MapNode, live: Iterable[Any]) -> Iterator[str]:
    """Yield a note for each field that neither the checkpoint nor a live object has.

    "current" asks for what would be kept anyway, often for more fields than there are; so it is
    told only where the word looks like another one.
    """
    if not policy.fields:
        return
    known = {*IMPLEMENTATION, *FOLLOWS, *FOLLOWS.values()}
    for section in _SECTIONS:
        known.update(_stored(document.get(section), _MAX_DEPTH))
    for one in live:
        known.update(_live(one, _MAX_DEPTH))
    known |= {word.lstrip("_") for word in known}
    for word, choice in policy.fields.items():
        near = get_close_matches(word, sorted(known), 1, 0.75)
        if word in known or (choice == "current" and not near):
            continue
        advice = f"; did you mean {near[0]!r}?" if near else ""
        yield f"on_conflict: no target has a field {word!r}, so that choice does nothing{advice}"


def _stored(node: Node, depth: int) -> Iterator[str]:
    if isinstance(node, MapNode) and depth:
        for key, value in node.items():
            if type(key) is str:
                yield key
            if key not in _LARGE:
                yield from _stored(value, depth - 1)
    elif isinstance(node, SeqNode) and depth:
        for item in node.items:
            yield from _stored(item, depth - 1)


def _live(value: Any, depth: int) -> Iterator[str]:
    """Names of a live object's settings: of its groups, its attributes, and schedulers in it."""
    if isinstance(value, Mapping) and depth:
        for one in value.values():
            yield from _live(one, depth - 1)
        return
    yield from (name for name in getattr(value, "__dict__", {}) if type(name) is str)
    for group in getattr(value, "param_groups", None) or ():
        yield from (name for name in group if type(name) is str)
    for inner in getattr(value, "_schedulers", None) or () if depth else ():
        yield from _live(inner, depth - 1)

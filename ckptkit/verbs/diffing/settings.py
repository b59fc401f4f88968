"""Values that are no tensors, compared place by place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.tree import equal
from ckptkit.verbs.diffing.leaves import ATTRIBUTES, Leaf
from ckptkit.verbs.diffing.values import SettingRow


class Settings(NamedTuple):
    """What differs, how many places were compared, and how many attributes only one side has."""

    rows: list[SettingRow]
    n_compared: int
    n_lone_attributes: int


def compare_settings(
    one: Mapping[tuple[Any, ...], Leaf], other: Mapping[tuple[Any, ...], Leaf]
) -> Settings:
    """Compare values at equal places; A's order, then what only B has.

    Attributes, such as the ``_metadata`` of a state_dict, count only where both sides have them:
    most formats have no room for them.
    """
    rows: list[SettingRow] = []
    lone = 0
    for key, leaf in one.items():
        twin = other.get(key)
        if twin is None:
            if ATTRIBUTES in leaf.path:
                lone += 1
            else:
                rows.append(SettingRow(leaf.section, leaf.name, "only-a", a=leaf.node))
        elif not same_value(leaf.node, twin.node):
            rows.append(SettingRow(leaf.section, leaf.name, "differs", leaf.node, twin.node))
    for key, leaf in other.items():
        if key in one:
            continue
        if ATTRIBUTES in leaf.path:
            lone += 1
        else:
            rows.append(SettingRow(leaf.section, leaf.name, "only-b", b=leaf.node))
    return Settings(rows, len({*one, *other}) - lone, lone)


def same_value(one: Node, other: Node) -> bool:
    """Say whether two leaves say the same; lists and tuples of equal items do.

    Numbers compare by their bits, so that a NaN equals itself.
    """
    if isinstance(one, SeqNode) and isinstance(other, SeqNode):
        return len(one) == len(other) and all(map(equal, one.items, other.items))
    if isinstance(one, MapNode) and isinstance(other, MapNode):
        return len(one) == len(other) == 0
    return equal(one, other)

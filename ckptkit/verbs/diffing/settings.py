"""Values that are no tensors, compared place by place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.tree import equal
from ckptkit.verbs.diffing.leaves import ATTRIBUTES, Leaf
from ckptkit.verbs.diffing.values import SettingRow

#: What a file says of a count, in its own words -> the count of version 2.
_COUNTS = {
    "as_stored/epoch": "epochs_completed", "epoch_means": "epochs_completed",
    "as_stored/step": "optimizer_steps", "step_means": "optimizer_steps",
    "as_stored/samples": "samples",
}  # fmt: skip


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
    most formats have no room for them. So do the words in which a file tells of a count.
    """
    rows: list[SettingRow] = []
    lone = 0
    for key, leaf in one.items():
        twin = other.get(key)
        if twin is None:
            if _says_how(leaf, other):
                lone += 1
            else:
                rows.append(SettingRow(leaf.section, leaf.name, "only-a", a=leaf.node))
        elif not same_value(leaf.node, twin.node):
            rows.append(SettingRow(leaf.section, leaf.name, "differs", leaf.node, twin.node))
    for key, leaf in other.items():
        if key in one:
            continue
        if _says_how(leaf, one):
            lone += 1
        else:
            rows.append(SettingRow(leaf.section, leaf.name, "only-b", b=leaf.node))
    return Settings(rows, len({*one, *other}) - lone, lone)


def _says_how(leaf: Leaf, theirs: Mapping[tuple[Any, ...], Leaf]) -> bool:
    """Whether it is an attribute, or tells how a file put a count that the other has outright."""
    if ATTRIBUTES in leaf.path:
        return True
    count = _COUNTS.get(leaf.name)
    return (
        leaf.section == "progress"
        and count is not None
        and any(other.section == "progress" and other.name == count for other in theirs.values())
    )


def same_value(one: Node, other: Node) -> bool:
    """Say whether two leaves say the same; lists and tuples of equal items do.

    Numbers compare by their bits, so that a NaN equals itself.
    """
    if isinstance(one, SeqNode) and isinstance(other, SeqNode):
        return len(one) == len(other) and all(map(equal, one.items, other.items))
    if isinstance(one, MapNode) and isinstance(other, MapNode):
        return len(one) == len(other) == 0
    return equal(one, other)

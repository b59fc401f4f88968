"""How much of each section is left, so that the first line says whether the weights are whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ckptkit.nodes import MapNode, TensorNode
from ckptkit.tree import walk
from ckptkit.verbs.recovering.half_states import HALF_KEY, HalfState
from ckptkit.verbs.recovering.pruning import Lost


class SectionTally(NamedTuple):
    """Tensors of one section, ties at each of their places: left, lost, and set aside."""

    section: str
    left: int
    lost: int
    aside: int

    @property
    def total(self) -> int:
        """How many it had, as far as anything still names them."""
        return self.left + self.lost + self.aside


def tally(
    document: MapNode, lost: Sequence[Lost], half: Sequence[HalfState]
) -> tuple[SectionTally, ...]:
    """Count by section, in the order of the document; sections that are gone come last."""
    left = Counter(
        str(path[0])
        for path, node in walk(document)
        if isinstance(node, TensorNode) and path[:2] != ("extra", HALF_KEY)
    )
    gone = Counter(_section(one) for one in lost)
    aside: Counter[str] = Counter()
    for one in half:
        aside[one.place.partition("/")[0]] += one.tensors
    names = [*map(str, document), *gone]
    rows = (SectionTally(n, left[n], gone[n], aside[n]) for n in dict.fromkeys(names) if n)
    return tuple(row for row in rows if row.total)


def _section(one: Lost) -> str:
    """The section of something lost; a file of which nothing names the tensors has none."""
    if one.path:
        return str(one.path[0])
    section, sign, _ = one.name.partition("/")
    return section if sign else ""

"""What the order of nameless parameters proves, and what it does not.

A stored optimizer without names is a sequence of groups of numbers; torch gives number i to the
i-th live parameter and looks no further. Shapes alone never prove an order: most models have many
parameters of one shape, and swapping two of them leaves every shape in place. So, in this order:

1. **The stored model's order.** Optimizers are built by walking over a model, so each group lists
   its parameters in the order of the stored model, perhaps leaving some out (frozen ones, those
   of other groups). Where the shapes let every parameter with state stand at one place of that
   order only, its name is proved, and the live order no longer matters ("inferred name"). With as
   many parameters as the model has, and one group, that place is always unique.
2. **Two readings.** The live optimizer, number by number, may fit all shapes too, and give state
   to others than (1) does. Then the live optimizer shows which habit its script has: if it lists
   its own model's parameters in that model's order, (1) holds. If not, or if nobody can say, or if
   the stored model's names may have been sorted, both readings are refused.
3. **The live order** ("order"), if counts, group sizes and every known shape agree, and either no
   two parameters with state have one shape; or the stored model lists the same parameters in the
   live order; or its names were sorted by the file (safetensors does), so that it tells nothing of
   an order, and every live parameter is among them. The last two say in a note what they did not
   prove: which of equal shapes were trained, and that the model's code kept its order.
4. Everything else is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ckptkit.match.listing import places, trust_of
from ckptkit.match.optimizer_groups import sizes
from ckptkit.match.state_shapes import described, has_state, known_shape, may_have
from ckptkit.match.values import LiveParameter, Shape, StoredParameter

_ADVICE = "restore the model in the same call, or start the optimizer fresh"

Pairs = tuple[tuple[int, int], ...]


class Evidence(NamedTuple):
    """What is known beside the optimizer: see ``plan_optimizer``."""

    renamed: Mapping[str, str]
    model_order: tuple[tuple[str, Shape], ...]
    live_order: tuple[str, ...]
    order_kept: bool = False

    @property
    def trust(self) -> str:
        """Whether ``model_order`` is the model's own order: see ``listing.trust_of``."""
        return trust_of([name for name, _ in self.model_order], order_kept=self.order_kept)


class Reading(NamedTuple):
    """One way to pair numbers: (stored, live), and how it was found."""

    pairs: Pairs
    by: str
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    called: tuple[tuple[int, str, Shape], ...] = ()  # stored numbers: what the model's order proved


def read_order(
    stored: Sequence[StoredParameter], live: Sequence[LiveParameter], evidence: Evidence
) -> Reading:
    """Pair parameters that have no names, or say why that would be a guess."""
    why_not = _against(stored, live)
    plain = tuple(zip((s.number for s in stored), (p.number for p in live), strict=False))
    trust = evidence.trust
    inferred = _inferred(stored, live, evidence) if trust != "sorted" else None
    if inferred is not None:
        with_state = {item.number for item in stored if has_state(item)}
        is_same = not any(number in with_state for number, _ in {*plain} ^ {*inferred.pairs})
        settles = trust == "kept" and (bool(why_not) or _follows_its_model(live, evidence))
        if settles or (is_same and not why_not):
            return Reading(inferred.pairs, "inferred name", called=inferred.called)
        return _refused(
            "the order of the stored model's names and that of the live optimizer disagree, and "
            "nothing tells which one the stored optimizer had"
        )
    if why_not:
        return _refused(f"{_nameless(stored)}, and {why_not}")
    return _by_order(stored, plain, live, evidence)


def _nameless(stored: Sequence[StoredParameter]) -> str:
    """Say which side has no names, so that the other one is not blamed."""
    if any(item.name for item in stored):
        return "no module among the targets names the live parameters"
    return "the stored parameters have no names"


def _refused(why: str) -> Reading:
    return Reading((), "order", (f"{why}; {_ADVICE}",))


def _against(stored: Sequence[StoredParameter], live: Sequence[LiveParameter]) -> str:
    """Why number by number is impossible; "" where it is possible."""
    if len(stored) != len(live):
        return f"there are {len(stored)} of them where the live optimizer has {len(live)}"
    if sizes(stored) != sizes(live):
        return (
            f"their groups have {_listed(sizes(stored))} members where the live ones have "
            f"{_listed(sizes(live))}"
        )
    for item, other in zip(stored, live, strict=True):
        if not may_have(item, other.shape):
            return (
                f"the state of {described(item)} does not fit the live "
                f"{other.name or f'number {other.number}'} {list(other.shape)}"
            )
    return ""


def _listed(counts: Sequence[int]) -> str:
    return " + ".join(map(str, counts))


def _inferred(
    stored: Sequence[StoredParameter], live: Sequence[LiveParameter], evidence: Evidence
) -> Reading | None:
    """Pairs by the names that the stored model's order proves; None where it proves too few."""
    order = evidence.model_order
    targets = {item.name: item.number for item in live if item.name}
    if not order or not targets:
        return None
    shapes = {shape for _, shape in order}
    found: dict[int, int] = {}
    for group in range(len(sizes(stored))):
        members = [item for item in stored if item.group == group]
        at = places([known_shape(item, shapes) for item in members], [s for _, s in order])
        if at is None:
            return None
        found |= {item.number: p for item, p in zip(members, at, strict=True) if p >= 0}
        if any(has_state(item) and item.number not in found for item in members):
            return None
    if len(set(found.values())) != len(found):
        return None  # two groups claim one parameter, so at least one of them is another
    names = {number: order[place][0] for number, place in found.items()}
    told = ((number, evidence.renamed.get(name, name)) for number, name in names.items())
    pairs = tuple((number, targets[name]) for number, name in told if name in targets)
    called = tuple((number, *order[place]) for number, place in found.items())
    return Reading(pairs, "inferred name", called=called)


def _follows_its_model(live: Sequence[LiveParameter], evidence: Evidence) -> bool:
    """Tell whether every live group lists its parameters in the order of the live model."""
    place = {name: number for number, name in enumerate(evidence.live_order)}
    return _rises(live, [place.get(item.name, -1) for item in live])


def _rises(live: Sequence[LiveParameter], found: Sequence[int]) -> bool:
    last: dict[int, int] = {}
    for item, place in zip(live, found, strict=True):
        if place <= last.get(item.group, -1):
            return False
        last[item.group] = place
    return True


def _by_order(
    stored: Sequence[StoredParameter],
    plain: Pairs,
    live: Sequence[LiveParameter],
    evidence: Evidence,
) -> Reading:
    for item, other in zip(stored, live, strict=True):
        if has_state(item) and known_shape(item, (other.shape,)) is None:
            return _refused(
                f"{_nameless(stored)}, and the state of {described(item)} does not tell the shape "
                "of its parameter"
            )
    twins = _twins(stored, live)
    if not twins:
        return Reading(plain, "order")
    origin = {new: old for old, new in evidence.renamed.items()}
    place = {name: number for number, (name, _) in enumerate(evidence.model_order)}
    found = [place.get(origin.get(item.name, item.name), -1) if item.name else -1 for item in live]
    trust = evidence.trust
    what = ""
    if min(found, default=-1) >= 0 and trust == "sorted":
        what = "that the model's code lists them as it did then"
    elif min(found, default=-1) >= 0 and trust == "kept" and _rises(live, found):
        what = "that the same ones were trained then as now"
    if what:
        note = f"the checkpoint names no parameter of the optimizer and {twins}: {what}, is taken"
        return Reading(plain, "order", notes=(f"{note} from their counts, groups and shapes",))
    return _refused(
        f"{_nameless(stored)}, {twins}, and nothing in the checkpoint proves their order"
    )


def _twins(stored: Sequence[StoredParameter], live: Sequence[LiveParameter]) -> str:
    """Say how many parameters with state share a shape, which order alone cannot tell apart."""
    shapes: dict[Shape, int] = {}
    for item, other in zip(stored, live, strict=True):
        if has_state(item):
            shapes[other.shape] = shapes.get(other.shape, 0) + 1
    many = max(shapes, key=lambda shape: (shapes[shape], shape), default=())
    if shapes.get(many, 0) < 2:
        return ""
    return f"{shapes[many]} of them have the one shape {list(many)}"

"""What a LoadPlan says, name by name, in the words of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckptkit.match.values import Entry, LoadPlan, Pair, Shape, ShapeMismatch
from ckptkit.report.values import Line

_KINDS_OF_OUTCOMES = {"skip": "skipped", "slice": "sliced", "custom": "resized"}
_PLAIN_HOW = ("exact", "prefix")  # of a prefix the notes of the component speak
_RENAMED_HOW = {
    "rename": "by a rename rule",
    "parametrization": "another form of the same parametrization",
    "likeness": "a likely rename, applied as asked",
}


def lines_of(
    plan: LoadPlan, stored: Mapping[str, Entry], wanted: Mapping[str, Entry]
) -> tuple[Line, ...]:
    """Return a line for every name of which there is anything to say."""
    return tuple(_lines(plan, stored, wanted))


def _lines(
    plan: LoadPlan, stored: Mapping[str, Entry], wanted: Mapping[str, Entry]
) -> Iterator[Line]:
    for mismatch in plan.mismatched:
        yield _mismatch_line(mismatch, wanted)
    for ambiguity in plan.ambiguities:
        detail = f"{ambiguity.side}; could be {', '.join(ambiguity.candidates)}"
        yield Line("ambiguous", ambiguity.name, detail=detail)
    for proposal in plan.proposals:
        yield Line("proposed", proposal.target, proposal.source, proposal.why)
    for name in _without(plan.missing, plan.allowed_missing):
        yield Line("missing", name, nbytes=_nbytes(wanted, name), detail=_shape_of(wanted, name))
    for name in _without(plan.unexpected, plan.allowed_unexpected):
        yield Line("unexpected", name, nbytes=_nbytes(stored, name), detail=_shape_of(stored, name))
    for name in plan.allowed_missing:
        detail = "not in the checkpoint; keeps its value, as allowed"
        yield Line("allowed", name, nbytes=_nbytes(wanted, name), detail=detail)
    for name in plan.allowed_unexpected:
        detail = "in the checkpoint alone; left, as allowed"
        yield Line("allowed", name, nbytes=_nbytes(stored, name), detail=detail)
    for pair in plan.pairs:
        if pair.how not in _PLAIN_HOW or pair.action != "copy" or pair.cast is not None:
            yield from _pair_lines(pair, wanted)
    for name in plan.defaulted:
        yield Line("defaulted", name, nbytes=_nbytes(wanted, name), detail="keeps its value")
    for name in plan.benign:
        yield Line("benign", name, nbytes=_nbytes(stored, name), detail="derivable, and left")


def _without(names: tuple[str, ...], allowed: tuple[str, ...]) -> list[str]:
    passed = set(allowed)
    return [name for name in names if name not in passed]


def _mismatch_line(mismatch: ShapeMismatch, wanted: Mapping[str, Entry]) -> Line:
    kind = _KINDS_OF_OUTCOMES.get(mismatch.outcome, "mismatched")
    source = mismatch.source if mismatch.source != mismatch.target else ""
    detail = f"{_shape(mismatch.stored)} in the file, {_shape(mismatch.wanted)} in the model"
    return Line(kind, mismatch.target, source, detail, _nbytes(wanted, mismatch.target))


def _pair_lines(pair: Pair, wanted: Mapping[str, Entry]) -> Iterator[Line]:
    """Say what is not plain of a pair; of a wrapper's prefix the whole component speaks."""
    source = pair.source if pair.source != pair.target else ""
    nbytes = _nbytes(wanted, pair.target)
    if pair.how in _RENAMED_HOW and pair.source != pair.target:
        yield Line("renamed", pair.target, source, _RENAMED_HOW[pair.how], nbytes)
    if pair.action == "product":
        yield Line("computed", pair.target, source, f"times {pair.factor}", nbytes)
    if pair.how == "tie":
        yield Line("tied", pair.target, source, "filled through the name it is tied to", nbytes)
    if pair.cast is not None:
        yield Line("cast", pair.target, source, f"{pair.cast[0]} to {pair.cast[1]}", nbytes)


def _nbytes(entries: Mapping[str, Entry], name: str) -> int:
    entry = entries.get(name)
    return 0 if entry is None else entry.nbytes


def _shape_of(entries: Mapping[str, Entry], name: str) -> str:
    entry = entries.get(name)
    return "" if entry is None or not entry.dtype else f"{entry.dtype} {_shape(entry.shape)}"


def _shape(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"

"""What submodules that load themselves say, or said, in the words of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptkit.match.faults import cast_fault, some
from ckptkit.match.values import Entry, LoadPlan, MatchPolicy, Pair
from ckptkit.report.values import Line
from ckptkit.types import NOT_COVERED, Coverage
from ckptkit.verbs.restoring.absent import is_allowed
from ckptkit.verbs.restoring.asking import Asked, is_below


class AskedReport(NamedTuple):
    """What all of them together add to the report of the module."""

    lines: tuple[Line, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    coverage: Coverage = NOT_COVERED


def report_asked(
    asked: Sequence[Asked], plan: LoadPlan, entries: Mapping[str, Entry], policy: MatchPolicy
) -> AskedReport:
    """Apply the policy to what they miss and do not expect.

    ``plan`` is the match of all names, which stands in for a submodule that could not be
    rehearsed, and knows what is benign.
    """
    lines: list[Line] = []
    faults: list[str] = []
    lost: set[str] = set()
    for one in asked:
        missing, unexpected = _left_over(one, entries)
        lost.update(missing)
        errors = one.outcome.errors if one.outcome else ()
        if errors:
            lost.update(name for name in entries if is_below(name, [one.path]))
        faults += [f"{one.path or 'the module'} refuses to load: {error}" for error in errors]
        benign = {*plan.defaulted, *plan.benign}
        lines += _judged("missing", missing, policy.allow_missing, benign, entries)
        lines += _judged("unexpected", unexpected, policy.allow_unexpected, benign, {})
    casts = [pair for pair in plan.pairs if pair.cast and is_below(pair.target, _roots(asked))]
    lines += [_cast_line(pair, entries) for pair in casts]
    if policy.cast == "error":  # whether a conversion is impossible, they know better themselves
        faults += [fault.sentence for fault in cast_fault(casts, policy)]
    for kind, words in (("missing", "not in the checkpoint"), ("unexpected", "without a place")):
        names = [line.name for line in lines if line.kind == kind]
        if names:
            noun = "name" if len(names) == 1 else "names"
            told = f"{len(names)} {noun} of submodules that load themselves {words}"
            faults.append(f"{told}: {some(names)}")
    return AskedReport(
        tuple(lines), tuple(faults), tuple(_notes(asked)), _coverage(asked, entries, lost)
    )


def _roots(asked: Sequence[Asked]) -> set[str]:
    return {one.path for one in asked}


def _cast_line(pair: Pair, entries: Mapping[str, Entry]) -> Line:
    assert pair.cast is not None
    detail, nbytes = " to ".join(pair.cast), entries[pair.target].nbytes
    return Line(
        "cast", pair.target, pair.source if pair.source != pair.target else "", detail, nbytes
    )


def _left_over(one: Asked, entries: Mapping[str, Entry]) -> tuple[list[str], list[str]]:
    """Return the names that it misses and those that it does not expect."""
    if one.outcome is not None:
        missing = [one.prefix + name for name in one.outcome.missing]
        return missing, [one.sources.get(name, name) for name in one.outcome.unexpected]
    below = {name for name in entries if is_below(name, [one.path])}
    filled = {one.prefix + name for name in one.sources}
    unexpected = [source for name, source in one.sources.items() if one.prefix + name not in below]
    return [name for name in entries if name in below - filled], unexpected


def _judged(
    kind: str,
    names: Sequence[str],
    allowed: bool | tuple[str, ...],
    benign: set[str],
    entries: Mapping[str, Entry],
) -> Iterator[Line]:
    for name in names:
        nbytes = entries[name].nbytes if name in entries else 0
        if name in benign:
            yield Line("defaulted" if kind == "missing" else "benign", name, nbytes=nbytes)
        elif is_allowed(name, allowed):
            yield Line("allowed", name, detail=f"{kind}, as allowed", nbytes=nbytes)
        else:
            yield Line(kind, name, nbytes=nbytes)


def _notes(asked: Sequence[Asked]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for one in asked:
        by_reason.setdefault(one.reason, []).append(one.path or "the whole module")
    for reason, paths in by_reason.items():
        yield f"loaded by its own load_state_dict, because {reason}: {some(paths)}"


def _coverage(asked: Sequence[Asked], entries: Mapping[str, Entry], lost: set[str]) -> Coverage:
    """Count the parameters below them; tied ones once."""
    roots = _roots(asked)
    counted: dict[object, Entry] = {}
    for name, entry in entries.items():
        if entry.kind == "parameter" and is_below(name, roots):
            counted.setdefault(entry.tie if entry.tie >= 0 else name, entry)
    filled = [entry for entry in counted.values() if entry.name not in lost]
    return Coverage(
        len(filled), len(counted),
        sum(entry.nbytes for entry in filled), sum(entry.nbytes for entry in counted.values()),
    )  # fmt: skip

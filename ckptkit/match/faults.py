"""Why a plan is refused: every reason at once, each one sentence with counts and names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ckptkit.match.board import Board
from ckptkit.match.families import pattern_of
from ckptkit.match.shapes import is_impossible
from ckptkit.match.values import MatchPolicy, Pair, ShapeMismatch
from ckptkit.types import Coverage

_SHOWN = 3  # patterns of names in a sentence; the report shows all


class Fault(NamedTuple):
    """One reason; ``kind`` is one of ``values.FAULT_KINDS``."""

    kind: str
    sentence: str


def some(names: Iterable[str]) -> str:
    """A few names, numbers collapsed: ``layers.*.attn.weight (32), head.bias and 4 more``.

    The same for any order of the names.
    """
    patterns: dict[str, list[str]] = {}
    for name in names:
        patterns.setdefault(pattern_of(name), []).append(name)
    ranked = sorted(patterns.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = [
        f"{pattern.replace('#', '*')} ({len(members)})" if len(members) > 1 else members[0]
        for pattern, members in ranked[:_SHOWN]
    ]
    left = sum(len(members) for _, members in ranked[_SHOWN:])
    return ", ".join(shown) + (f" and {left} more" if left else "")


def name_faults(
    missing: Collection[str], unexpected: Collection[str], proposed: int
) -> list[Fault]:
    """Names that the policy does not allow to be left over."""
    faults = []
    if missing:
        advice = "allow_missing lets them keep their values"
        if proposed:
            advice = f"{proposed} of them have a likely source: apply_proposals=True takes it"
        verb = "names that are wanted are" if len(missing) > 1 else "name that is wanted is"
        faults.append(Fault(
            "missing", f"{len(missing)} {verb} not in the checkpoint: {some(missing)}; {advice}"
        ))  # fmt: skip
    if unexpected:
        verb = "stored names have" if len(unexpected) > 1 else "stored name has"
        faults.append(Fault(
            "unexpected",
            f"{len(unexpected)} {verb} no place: {some(unexpected)}; allow_unexpected leaves them",
        ))  # fmt: skip
    return faults


def shape_fault(mismatched: Sequence[ShapeMismatch], policy: MatchPolicy) -> list[Fault]:
    """Pairs whose shapes differ and may not."""
    wrong = sorted(item for item in mismatched if item.outcome == "error")
    if not wrong:
        return []
    first = wrong[0]
    advice = "on_shape='skip' or 'slice' says what to do"
    if policy.on_shape.action in ("slice", "custom"):
        advice = f"{policy.on_shape.action!r} cannot make these fit, 'skip' leaves them"
    what = "tensors have" if len(wrong) > 1 else "tensor has"
    return [Fault(
        "shape",
        f"{len(wrong)} {what} another shape: {some(item.target for item in wrong)}; "
        f"{first.target} is {list(first.stored)} in the checkpoint and {list(first.wanted)} in "
        f"the model; {advice}",
    )]  # fmt: skip


def cast_fault(pairs: Sequence[Pair], policy: MatchPolicy) -> list[Fault]:
    """Pairs whose dtypes differ, where the policy or the meaning of the numbers forbids it."""
    casts = [(pair.target, pair.cast) for pair in pairs if pair.cast]
    wrong = [(name, cast) for name, cast in casts if policy.cast == "error" or is_impossible(cast)]
    if not wrong:
        return []
    kinds = ", ".join(sorted({f"{before} to {after}" for _, (before, after) in wrong}))
    what = "tensors have" if len(wrong) > 1 else "tensor has"
    return [Fault(
        "cast",
        f"{len(wrong)} {what} another dtype ({kinds}): {some(name for name, _ in wrong)}; "
        + ("cast='report' converts them" if policy.cast == "error" and
           not any(is_impossible(cast) for _, cast in wrong) else "no conversion keeps them"),
    )]  # fmt: skip


def coverage_fault(coverage: Coverage, board: Board, policy: MatchPolicy) -> list[Fault]:
    """Too little is filled. Nothing at all is refused even where everything may be missing."""
    if coverage.of_tensors and not coverage.tensors:
        return [Fault(
            "nothing",
            f"nothing would be loaded: none of the {coverage.of_tensors} wanted tensors is filled "
            f"by any of the {len(board.stored)} stored names; this is the checkpoint of another "
            "model, or of another part of it",
        )]  # fmt: skip
    if coverage.fraction >= policy.min_coverage:
        return []
    return [Fault(
        "coverage",
        f"only {coverage.tensors} of {coverage.of_tensors} tensors and {coverage.nbytes} of "
        f"{coverage.of_nbytes} bytes would be filled, {coverage.fraction:.1%} where min_coverage "
        f"asks for {policy.min_coverage:.1%}",
    )]  # fmt: skip

"""Which stored name fills which wanted one: strict and lenient loading in one policy."""

from __future__ import annotations

from collections.abc import Sequence

from ckptkit.match.benign import is_benign, release_reshaped, set_benign_apart
from ckptkit.match.board import Board
from ckptkit.match.coverage import measure
from ckptkit.match.faults import (
    Fault,
    cast_fault,
    coverage_fault,
    name_faults,
    shape_fault,
    some,
)
from ckptkit.match.fused import tell_fused
from ckptkit.match.likeness import apply_likely, find_likely
from ckptkit.match.parametrizations import match_parametrizations, tell_unfolded
from ckptkit.match.prefixes import match_common_prefix, match_wrapped, removed
from ckptkit.match.rules import allowed, apply_renames
from ckptkit.match.shapes import Settled, is_rounding, settle
from ckptkit.match.ties import match_ties
from ckptkit.match.values import Entry, LoadPlan, MatchPolicy, Proposal

STRICT = MatchPolicy()


def plan_load(
    stored: Sequence[Entry], wanted: Sequence[Entry], policy: MatchPolicy = STRICT
) -> LoadPlan:
    """Decide for every name of both sides what becomes of it. Nothing is read or changed.

    In this order, each on what the former left: the caller's rename rules; equal names; names
    equal without wrappers; one common prefix; other spellings of parametrizations; shared memory;
    likely renames (proposed, or applied on request); benign names. The plan does not depend on
    the order of either side, except that its own lists follow the order given.
    """
    board = Board(stored, wanted)
    rename_faults = apply_renames(board, policy)
    match_wrapped(board)
    common = match_common_prefix(board) if board.free_stored and board.free_wanted else ""
    match_parametrizations(board)
    release_reshaped(board)
    match_ties(board)
    proposals = _match_likely(board, policy)
    set_benign_apart(board)
    tell_unfolded(board)
    tell_fused(board)
    return _concluded(board, policy, settle(board, policy), (rename_faults, proposals, common))


def _match_likely(board: Board, policy: MatchPolicy) -> tuple[Proposal, ...]:
    if not board.free_stored or not board.free_wanted:
        return ()
    proposals = apply_likely(board, find_likely(board), is_applied=policy.apply_proposals)
    if policy.apply_proposals:
        match_ties(board)
    # What is benign keeps its value; to propose a source for it would be noise.
    return tuple(item for item in proposals if not is_benign(board.wanted[item.target]))


def _concluded(
    board: Board,
    policy: MatchPolicy,
    settled: Settled,
    found: tuple[list[str], tuple[Proposal, ...], str],
) -> LoadPlan:
    rename_faults, proposals, common = found
    missing = [name for name in board.wanted if name in board.free_wanted]
    free_stored = board.free_stored.keys() | board.clashing
    unexpected = [name for name in board.stored if name in free_stored]
    benign = board.benign | _spare_masks(board, settled)
    allowed_missing, notes_missing = allowed(missing, policy.allow_missing, "missing")
    allowed_unexpected, notes_stored = allowed(unexpected, policy.allow_unexpected, "unexpected")
    coverage = measure(board, settled.pairs)
    refused = set(missing).difference(allowed_missing)
    faults = [
        *(Fault("rename", sentence) for sentence in rename_faults),
        *coverage_fault(coverage, board, policy),
        *shape_fault(settled.mismatched, policy),
        *name_faults(
            refused, set(unexpected).difference(allowed_unexpected),
            sum(item.target in refused for item in proposals),
        ),
        *cast_fault(settled.pairs, policy),
    ]  # fmt: skip
    return LoadPlan(
        pairs=settled.pairs,
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        defaulted=tuple(name for name in board.wanted if name in board.defaulted),
        benign=tuple(name for name in board.stored if name in benign),
        mismatched=settled.mismatched,
        proposals=proposals,
        ambiguities=tuple(sorted(board.ambiguities.values())),
        allowed_missing=allowed_missing,
        allowed_unexpected=allowed_unexpected,
        coverage=coverage,
        prefixes=removed(board, common),
        faults=tuple(fault.sentence for fault in faults),
        notes=(*board.notes, *notes_missing, *notes_stored, *_rounding(settled)),
        fault_kinds=tuple(fault.kind for fault in faults),
    )


def _spare_masks(board: Board, settled: Settled) -> set[str]:
    """Masks whose product is not made, because its shape does not fit."""
    made = {pair.factor for pair in settled.pairs}
    return {claim.factor for claim in board.claims.values() if claim.factor} - made


def _rounding(settled: Settled) -> list[str]:
    names = [pair.target for pair in settled.pairs if pair.cast and is_rounding(pair.cast)]
    return (
        [f"fractions are cut off where floats fill whole numbers: {some(names)}"] if names else []
    )

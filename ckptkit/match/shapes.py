"""From claims to pairs: what becomes of shapes and dtypes that differ."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.match.board import Board, Claim
from ckptkit.match.values import Entry, MatchPolicy, Pair, Shape, ShapeMismatch
from ckptkit.types import DTYPES


class Settled(NamedTuple):
    """Pairs in the order of the wanted names, and the shapes that differed."""

    pairs: tuple[Pair, ...]
    mismatched: tuple[ShapeMismatch, ...]


def settle(board: Board, policy: MatchPolicy) -> Settled:
    """Give every claim its action; one that the policy refuses becomes no pair."""
    pairs, mismatched = [], []
    for target in board.wanted:
        if (claim := board.claims.get(target)) is None:
            continue
        stored, wanted = board.stored[claim.source], board.wanted[target]
        if stored.shape == wanted.shape and stored.dtype == wanted.dtype and not claim.factor:
            pairs.append(Pair(target, claim.source, claim.how))
            continue
        action = "product" if claim.factor else "copy"
        if not _fits(stored, wanted):
            outcome = _outcome(policy, claim, stored, wanted)
            mismatched.append(
                ShapeMismatch(target, claim.source, stored.shape, wanted.shape, outcome)
            )
            action = outcome
        if action != "error":
            cast = None if action == "skip" else _cast(stored, wanted)
            pairs.append(Pair(target, claim.source, claim.how, action, claim.factor, cast))
    return Settled(tuple(pairs), tuple(mismatched))


def _fits(stored: Entry, wanted: Entry) -> bool:
    """An extra state takes whatever is stored for it; a tensor only one of its own shape."""
    if not wanted.dtype:
        return True
    return bool(stored.dtype) and stored.shape == wanted.shape


def _outcome(policy: MatchPolicy, claim: Claim, stored: Entry, wanted: Entry) -> str:
    action = policy.on_shape.action
    if action == "skip":
        return action
    # A product has one reader, and a plain value no rows.
    if claim.factor or not stored.dtype:
        return "error"
    if action == "slice" and not common_corner(stored.shape, wanted.shape):
        return "error"
    return action


def common_corner(stored: Shape, wanted: Shape) -> Shape | None:
    """Return the first rows and columns that both have; None where the ranks differ."""
    if len(stored) != len(wanted) or not stored:
        return None
    return tuple(min(sizes) for sizes in zip(stored, wanted, strict=True))


def _cast(stored: Entry, wanted: Entry) -> tuple[str, str] | None:
    differs = stored.dtype and wanted.dtype and stored.dtype != wanted.dtype
    return (stored.dtype, wanted.dtype) if differs else None


def is_impossible(cast: tuple[str, str]) -> bool:
    """Tell whether no conversion keeps the meaning: quantized or raw bits, complex to real."""
    before, after = (DTYPES[name].kind for name in cast)
    return before in "qx" or after in "qx" or (before == "c" and after != "c")


def is_rounding(cast: tuple[str, str]) -> bool:
    """Tell whether fractions are lost: floats into whole numbers or flags."""
    before, after = (DTYPES[name].kind for name in cast)
    return before in "fc" and after in "iub"

"""The prefix solver: names that are equal once wrappers and common prefixes are taken off.

Three kinds of words are undone, in this order: those that only wrappers use, wherever they stand;
``module``, in front of everything or, where the other side proves it, anywhere; and a prefix that
makes one whole side a part of the other (``model.`` of a Lightning module).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ckptkit.match.board import Board, unique
from ckptkit.match.parametrizations import other_spellings
from ckptkit.wrappers import PARALLEL, WRAPPERS, without_wrappers

_IN_FRONT = PARALLEL + "."
_MAX_DEPTH = 32  # segments of a name that are tried as a common prefix


def bare(name: str) -> str:
    """Return the name without the words of any wrapper; its last segment always stays."""
    if PARALLEL not in name and "_mod" not in name:
        return name
    *path, leaf = without_wrappers(name).split(".")
    return ".".join([*(part for part in path if part != PARALLEL), leaf])


def match_wrapped(board: Board) -> None:
    """Claim names that are equal as they are, or become equal without wrappers.

    Where every name of a side begins with ``module.``, that is a wrapper if taking it off explains
    more names than leaving it on: a model with an attribute ``module`` of its own is safe.
    """
    fronts = _front(board.free_stored.values()), _front(board.free_wanted.values())
    if any(fronts):
        off_stored = {name: now[fronts[0] :] for name, now in _without(board.free_stored).items()}
        off_wanted = {name: now[fronts[1] :] for name, now in _without(board.free_wanted).items()}
        targets, sources = unique(off_wanted, str), unique(off_stored, str)
        as_they_are = len({*board.free_stored.values()} & {*board.free_wanted.values()})
        if len(targets.keys() & sources.keys()) > as_they_are:
            for key, source in sources.items():
                if key in targets:
                    target = targets[key]
                    same = board.free_stored[source] == board.free_wanted[target]
                    board.claim(target, source, "exact" if same else "prefix")
    board.claim_equal(str, "exact")
    if board.free_stored and board.free_wanted:
        board.claim_equal(without_wrappers, "prefix")
        board.claim_equal(bare, "prefix")
        _tell_twins(board)
    call_bare(board)


def _without(called: dict[str, str]) -> dict[str, str]:
    return {name: without_wrappers(now) for name, now in called.items()}


def _front(names: Iterable[str]) -> int:
    """How many characters of ``module.`` stand in front of every name."""
    repeats = None
    for name in names:
        rest, count = without_wrappers(name), 0
        while rest.startswith(_IN_FRONT) and len(rest) > len(_IN_FRONT):
            rest, count = rest[len(_IN_FRONT) :], count + 1
        repeats = count if repeats is None else min(repeats, count)
        if not repeats:
            return 0
    return len(_IN_FRONT) * (repeats or 0)


def _tell_twins(board: Board) -> None:
    """Record wanted names that several stored ones become without their wrappers."""
    targets = unique(board.free_wanted, bare)
    twins: dict[str, list[str]] = {}
    for source, now in board.free_stored.items():
        if (key := bare(now)) in targets:
            twins.setdefault(targets[key], []).append(source)
    for target, sources in twins.items():
        board.confuse(target, "wanted", sources)


def call_bare(board: Board) -> None:
    """Call every free name what it is without wrappers, where that stays its name alone."""
    for free in (board.free_stored, board.free_wanted):
        for key, name in unique(free, bare).items():
            free[name] = key


def match_common_prefix(board: Board) -> str:
    """Claim names that differ by one prefix which explains half of a whole side; return it.

    Names and shapes must agree to vote for it, and no rival may explain more than half as many:
    ``ema.`` beside ``online.`` is a question, not a prefix. The text begins with "stored " or
    "wanted ", the side that has the prefix; "" where there is none.
    """
    votes = _votes(board)
    ranked = sorted(votes.items(), key=lambda item: (-item[1], item[0]))
    sides = [sum(bool(e.dtype) for e in side.values()) for side in (board.stored, board.wanted)]
    if not ranked or ranked[0][1] < 2 or 2 * ranked[0][1] < min(sides):
        return ""
    (side, prefix), best = ranked[0]
    rivals = [rival for rival, count in ranked[1:] if 2 * count > best]
    if rivals:
        _tell_rivals(board, [ranked[0][0], *rivals])
        return ""
    _take_off(board, side, prefix + ".")
    return f"{side} {prefix}"


def _suffixes(name: str) -> Iterator[tuple[str, str]]:
    """Every (prefix, rest) of a name, cut at its dots."""
    at = name.find(".")
    for _ in range(_MAX_DEPTH):
        if at < 0:
            return
        yield name[:at], name[at + 1 :]
        at = name.find(".", at + 1)


def _votes(board: Board) -> Counter[tuple[str, str]]:
    votes: Counter[tuple[str, str]] = Counter()
    sides = {"stored": board.stored, "wanted": board.wanted}
    called = {side: board.tensors(side) for side in sides}
    for side, other in (("stored", "wanted"), ("wanted", "stored")):
        shapes = {now: sides[other][name].shape for name, now in called[other].items()}
        for name, now in called[side].items():
            shape = sides[side][name].shape
            respelled = bool(other_spellings(now))
            for prefix, rest in _suffixes(now):
                words = (rest, *other_spellings(rest)) if respelled else (rest,)
                for word in words:
                    if word in shapes and shapes[word] == shape:
                        votes[side, prefix] += 1
                        break
    return votes


def _tell_rivals(board: Board, rivals: list[tuple[str, str]]) -> None:
    """Record for every name that lacks a prefix which ones would be it under which prefix."""
    longer = {
        side: {now: name for name, now in board.tensors(side).items()}
        for side in ("stored", "wanted")
    }
    for side, other in (("stored", "wanted"), ("wanted", "stored")):
        prefixes = [prefix for place, prefix in rivals if place == side]
        for now, name in longer[other].items():
            words = [f"{prefix}.{now}" for prefix in prefixes]
            found = [longer[side][word] for word in words if word in longer[side]]
            if len(found) > 1:
                board.confuse(name, other, found)
    listed = ", ".join(f"{prefix!r} of the {side} names" for side, prefix in rivals[:4])
    board.notes.append(f"several prefixes could be meant, so none was taken off: {listed}")


def _take_off(board: Board, side: str, prefix: str) -> None:
    free = board.free_stored if side == "stored" else board.free_wanted
    others = set((board.free_wanted if side == "stored" else board.free_stored).values())
    kept = {now for now in free.values() if not now.startswith(prefix)}
    for name, now in free.items():
        if now.startswith(prefix) and (rest := now[len(prefix) :]) not in kept:
            free[name] = rest
    if others:
        board.claim_equal(str, "prefix")


def removed(board: Board, common: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the words that were taken off the stored and the wanted names to make pairs."""
    stored, wanted = set[str](), set[str]()
    for target, claim in board.claims.items():
        if claim.how != "exact":
            stored.update(_words(claim.source))
            wanted.update(_words(target))
    side, _, prefix = common.partition(" ")
    order = (*WRAPPERS, PARALLEL)
    return (
        tuple(w for w in order if w in stored) + ((prefix,) if side == "stored" else ()),
        tuple(w for w in order if w in wanted) + ((prefix,) if side == "wanted" else ()),
    )


def _words(name: str) -> list[str]:
    if PARALLEL not in name and "_mod" not in name:
        return []
    return [part for part in name.split(".")[:-1] if part == PARALLEL or part in WRAPPERS]

"""Likely renames: the longest common end of two names, equal shapes, and no second candidate.

A pair must be the best of both its sides. What one substitution explains (``encoder`` ->
``backbone``) counts together, and the substitution that explains most goes first. Where two are
equally good, nothing is proposed and both are named: an assignment by guess would be silent.
Source: the idea of suffixes is detectron2's (checkpoint/c2_model_loading.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from ckptkit.match.board import Board
from ckptkit.match.families import Family, families
from ckptkit.match.values import Ambiguity, Proposal

_MAX_CANDIDATES = 8  # more names than this share an end that says nothing
_NORMS = {"gamma": "weight", "beta": "bias", "weight": "gamma", "bias": "beta"}

Matched = tuple[int, int]  # numbers of a stored and a wanted family


class Likely(NamedTuple):
    """What was found: renames that are unambiguous, and names that are not."""

    proposals: tuple[Proposal, ...]
    ambiguities: tuple[Ambiguity, ...]


class _Pool:
    """Names not yet explained by any rename."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.stored, self.wanted = board.tensors("stored"), board.tensors("wanted")
        self.proposals: list[Proposal] = []
        self.blocks: dict[tuple[str, str], int] = {}  # (old prefix, new prefix) -> names explained

    def take(self, source: str, target: str, why: str) -> None:
        del self.stored[source], self.wanted[target]
        self.proposals.append(Proposal(source, target, why))


def find_likely(board: Board) -> Likely:
    """Compare what is free on both sides: norms, then patterns of names, then single names."""
    pool = _Pool(board)
    _norms(pool)
    unclear: list[Ambiguity] = []
    for by_number in (True, False):
        unclear = _round(pool, by_number=by_number)
    _follow_blocks(pool)
    left = {"wanted": pool.wanted, "stored": pool.stored}
    unclear = [item for item in unclear if item.name in left[item.side]]
    return Likely(tuple(sorted(pool.proposals)), tuple(sorted(unclear)))


def _norms(pool: _Pool) -> None:
    """Propose gamma and beta for weight and bias, where both stand side by side."""
    targets = {now: name for name, now in pool.wanted.items()}
    sources = {now: name for name, now in pool.stored.items()}
    for now, source in sources.items():
        path, dot, leaf = now.rpartition(".")
        words = [word for word in ("gamma", "beta") if leaf in (word, _NORMS[word])]
        if not words or leaf not in _NORMS:
            continue
        twins = ("gamma", "beta") if leaf == words[0] else ("weight", "bias")
        whole = all(
            path + dot + word in sources and path + dot + _NORMS[word] in targets for word in twins
        )
        target = targets.get(path + dot + _NORMS[leaf], "")
        if whole and _same_form(pool.board, source, target):
            pool.take(source, target, "gamma and beta are other names of a norm's weight and bias")


def _same_form(board: Board, source: str, target: str) -> bool:
    return board.stored[source].shape == board.wanted[target].shape


def _round(pool: _Pool, *, by_number: bool) -> list[Ambiguity]:
    stored = families(pool.stored, pool.board.stored, by_number=by_number)
    wanted = families(pool.wanted, pool.board.wanted, by_number=by_number)
    best_stored, best_wanted = _best(stored, wanted), _best(wanted, stored)
    mutual = [(s, w) for s, found in enumerate(best_stored) for w in found if s in best_wanted[w]]
    votes: dict[tuple[str, str], list[Matched]] = {}
    for s, w in mutual:
        votes.setdefault(_change(stored[s].pattern, wanted[w].pattern), []).append((s, w))
    weight = {
        change: sum(len(stored[s].members) for s, _ in pairs) for change, pairs in votes.items()
    }
    ranked = sorted(votes, key=lambda change: (-weight[change], change))
    done_s: set[int] = set()
    done_w: set[int] = set()
    unclear: dict[Matched, None] = {}
    for _, changes in groupby(ranked, key=weight.__getitem__):
        batch = [(s, w, change) for change in changes for s, w in votes[change]
                 if s not in done_s and w not in done_w]  # fmt: skip
        many_s, many_w = Counter(s for s, _, _ in batch), Counter(w for _, w, _ in batch)
        for s, w, change in batch:
            done_s.add(s)
            done_w.add(w)
            if many_s[s] > 1 or many_w[w] > 1:
                unclear[s, w] = None
            else:
                _propose(pool, stored[s], wanted[w], change, weight[change])
    return _ambiguities(stored, wanted, unclear)


def _best(ours: Sequence[Family], theirs: Sequence[Family]) -> list[list[int]]:
    """For each of ours those of theirs of equal form with the longest common end and beginning.

    Too many candidates are none: an end such as ``weight`` of a common shape says nothing.
    """
    ends: dict[tuple[str, object], list[int]] = {}
    numbers: dict[object, int] = {}
    for index, family in enumerate(theirs):
        form = numbers.setdefault(family.form, len(numbers))
        for suffix in family.suffixes():
            found = ends.setdefault((suffix, form), [])
            if len(found) <= _MAX_CANDIDATES:
                found.append(index)
    best = []
    for family in ours:
        mine = numbers.get(family.form, -1)
        hits = (ends.get((suffix, mine)) for suffix in family.suffixes())
        found = next(filter(None, hits), [])
        if len(found) > _MAX_CANDIDATES:
            found = []
        fronts = [_common_front(family.pattern, theirs[index].pattern) for index in found]
        best.append([i for i, front in zip(found, fronts, strict=True) if front == max(fronts)])
    return best


def _common_front(one: str, other: str) -> int:
    count = 0
    for a, b in zip(one.split("."), other.split("."), strict=False):
        if a != b:
            break
        count += 1
    return count


def _change(old: str, new: str) -> tuple[str, str]:
    """What is replaced by what, without the common end and the common beginning."""
    olds, news = old.split("."), new.split(".")
    while olds and news and olds[-1] == news[-1]:
        olds, news = olds[:-1], news[:-1]
    while olds and news and olds[0] == news[0]:
        olds, news = olds[1:], news[1:]
    return ".".join(olds), ".".join(news)


def _propose(
    pool: _Pool, stored: Family, wanted: Family, change: tuple[str, str], weight: int
) -> None:
    old, new = change
    if weight > 1:
        why = f"{old or '(nothing)'} -> {new or '(nothing)'} explains {weight} names of equal shape"
        if stored.pattern.startswith(old + ".") and wanted.pattern.startswith(new + "."):
            pool.blocks[change] = max(weight, pool.blocks.get(change, 0))
    else:
        why = "the only pair of this shape whose names end alike"
    for numbers, source in stored.members.items():
        pool.take(source, wanted.members[numbers], why)


def _follow_blocks(pool: _Pool) -> None:
    """Propose the rest of a renamed block by name alone, so that a shape that differs is seen."""
    targets = {now: name for name, now in pool.wanted.items()}
    for (old, new), _ in sorted(pool.blocks.items(), key=lambda item: (-item[1], item[0]))[:8]:
        for source, now in list(pool.stored.items()):
            target = targets.get(new + now[len(old) :]) if now.startswith(old + ".") else None
            if target in pool.wanted:
                pool.take(source, target, f"{old} -> {new} explains its neighbours; shapes differ")


def _ambiguities(
    stored: Sequence[Family], wanted: Sequence[Family], unclear: Iterable[Matched]
) -> list[Ambiguity]:
    """Name what a wanted name could be; and a stored one that several wanted ones could be."""
    by_target: dict[str, list[str]] = {}
    by_source: dict[str, list[str]] = {}
    for s, w in unclear:
        for numbers, target in wanted[w].members.items():
            source = stored[s].members[numbers]
            by_target.setdefault(target, []).append(source)
            by_source.setdefault(source, []).append(target)
    rows = [_row(name, "wanted", found) for name, found in by_target.items() if len(found) > 1]
    settled = {source for row in rows for source in row.candidates}
    rows += [
        _row(name, "stored", found)
        for name, found in by_source.items() if len(found) > 1 and name not in settled
    ]  # fmt: skip
    return rows


def _row(name: str, side: str, found: Sequence[str]) -> Ambiguity:
    return Ambiguity(name, side, tuple(sorted(found)))


def apply_likely(board: Board, likely: Likely, *, is_applied: bool) -> tuple[Proposal, ...]:
    """Claim what was found, if asked to; return what remains a proposal."""
    for item in likely.ambiguities:
        board.confuse(item.name, item.side, item.candidates)
    if not is_applied:
        return likely.proposals
    for proposal in likely.proposals:
        board.claim(proposal.target, proposal.source, "likeness")
    return ()

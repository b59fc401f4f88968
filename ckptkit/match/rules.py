"""The rules that a caller writes: globs of names that may be absent, and renames."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate

from ckptkit.match.board import Board
from ckptkit.match.values import MatchPolicy
from ckptkit.wrappers import without_wrappers

Rule = Callable[[str], str]
_META = frozenset(r"\^$*+?()[]{}|")  # in a name these are rare; a dot is in nearly all


def apply_renames(board: Board, policy: MatchPolicy) -> list[str]:
    """Call every stored name what the rules make of it; return a fault for each clash.

    A rule sees the name as it is stored, and where that changes nothing, without its wrappers:
    ``{"old.weight": "new.weight"}`` holds for ``_orig_mod.old.weight`` too. Exact rules apply all
    at once, patterns one after the other.
    """
    if not policy.rename:
        return []
    try:
        rules = _rules(policy.rename)
    except re.error as error:
        return [f"a rename rule is no regular expression: {error}"]
    hits = dict.fromkeys(range(len(rules)), 0)
    renamed = _looked_up if isinstance(policy.rename, Mapping) else _renamed
    for name in board.stored:
        now = renamed(name, rules, hits)
        if now == name and (bare := without_wrappers(name)) != name:
            now = renamed(bare, rules, hits)
            now = name if now == bare else now
        if now != name:
            board.free_stored[name] = now
            board.renamed.add(name)
    board.notes += [
        f"the rename rule {_spelled(rule)} changes no stored name{_hint(rule, policy)}"
        for number, (rule, _) in enumerate(rules) if not hits[number]
    ]  # fmt: skip
    return _clashes(board)


def _rules(rename: Sequence[tuple[str, str]] | Mapping[str, str]) -> list[tuple[object, Rule]]:
    if isinstance(rename, Mapping):
        return [((old, new), _exactly(old, new)) for old, new in rename.items()]
    return [((old, new), _pattern(re.compile(old), new)) for old, new in rename]


def _exactly(old: str, new: str) -> Rule:
    return lambda name: new if name == old else name


def _pattern(pattern: re.Pattern[str], new: str) -> Rule:
    return lambda name: pattern.sub(new, name)


def _renamed(name: str, rules: Sequence[tuple[object, Rule]], hits: dict[int, int]) -> str:
    for number, (_, rule) in enumerate(rules):
        now = rule(name)
        hits[number] += now != name
        name = now
    return name


def _looked_up(name: str, rules: Sequence[tuple[object, Rule]], hits: dict[int, int]) -> str:
    """Rename by the one exact rule for this name, so that two names can change places."""
    for number, (_, rule) in enumerate(rules):
        if (now := rule(name)) != name:
            hits[number] += 1
            return now
    return name


def _spelled(rule: object) -> str:
    old, new = rule if isinstance(rule, tuple) else (rule, "")
    return f"{old!r} -> {new!r}"


def _hint(rule: object, policy: MatchPolicy) -> str:
    """Say of a mapping's key that looks like a pattern why it met nothing."""
    old = rule[0] if isinstance(rule, tuple) else rule
    if not isinstance(policy.rename, Mapping) or not _META & {*str(old)}:
        return ""
    return ": a mapping has exact names; a list of pairs takes regular expressions"


def _clashes(board: Board) -> list[str]:
    """Take names that became one out of the match, because any choice would be a guess."""
    called: dict[str, list[str]] = {}
    for name, now in board.free_stored.items():
        called.setdefault(now, []).append(name)
    faults = []
    for now, names in sorted(called.items()):
        if len(names) > 1 or not now:
            listed = " and ".join(sorted(names)[:3])
            faults.append(f"the rename rules call {len(names)} stored names {now!r}: {listed}")
            board.clashing.update(names)
            for name in names:
                del board.free_stored[name]
    return faults


def allowed(
    names: Iterable[str], rule: bool | str | tuple[str, ...], what: str
) -> tuple[tuple[str, ...], list[str]]:
    """Return the names that ``rule`` allows, and a note for each glob that allows none of them.

    A glob sees a name as it is, and without its wrappers. One text is one glob.
    """
    listed = list(names)
    if isinstance(rule, bool):
        return tuple(listed) if rule else (), []
    found: set[str] = set()
    notes = []
    for glob in (rule,) if isinstance(rule, str) else rule:
        fits = re.compile(translate(glob)).match
        hits = [name for name in listed if fits(name) or fits(without_wrappers(name))]
        found.update(hits)
        if not hits:
            notes.append(f"allow_{what}: {glob!r} matches no {what} name")
    return tuple(name for name in listed if name in found), notes

"""Names that changed, and whole blocks of them."""

from __future__ import annotations

from ckptkit.algebra import Rename
from ckptkit.algebra.patterns import literal, match
from ckptkit.verbs.guessing.draft import Draft
from ckptkit.verbs.guessing.families import Row, generalised


def find_renames(draft: Draft) -> None:
    """Take up the likely renames that matching finds, each of them unambiguous."""
    plan = draft.plan()
    pairs: list[Row] = [(item.source, item.target) for item in plan.proposals]
    if not pairs:
        return
    why = "equal shapes, and names that differ in one part alone"
    free = {*plan.unexpected}
    for rows in (_by_heads(pairs, draft, free), generalised(pairs, draft.state)):
        if rows and draft.accept(Rename({row[0]: row[1] for row in rows}), why):
            return
    draft.accept(Rename({literal(old): literal(new) for old, new in pairs}), why)


def _by_heads(pairs: list[Row], draft: Draft, free: set[str]) -> list[Row]:
    """Rename the blocks in which the names lie, with all that is in them.

    A block moves only if nothing in it has its place already; what is in it and was matched by
    nobody moves along.
    """
    heads: dict[Row, list[Row]] = {}
    for pair in pairs:
        heads.setdefault(_heads(pair), []).append(pair)
    moving = {source for source, _ in pairs} | free
    rows: list[Row] = []
    for (old, new), members in heads.items():
        below = [name for name in draft.state if name.startswith(f"{old}.")]
        if not old or not new or not moving.issuperset(below):
            rows += generalised(members, draft.state)
            continue
        rows.append((f"{literal(old)}.(.*)", f"{literal(new)}.\\1"))
    return _merged(rows, draft)


def _heads(pair: Row) -> Row:
    """Both names without the steps in which they end alike; nothing is left of no name."""
    old, new = pair[0].split("."), pair[1].split(".")
    while len(old) > 1 and len(new) > 1 and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    if (old, new) == (pair[0].split("."), pair[1].split(".")):
        return "", ""  # the last step itself changed: it is no block
    return ".".join(old), ".".join(new)


def _merged(rows: list[Row], draft: Draft) -> list[Row]:
    r"""``h.0.ln.(.*)``, ``h.1.ln.(.*)`` as ``h.(\d+).ln.(.*)``."""
    blocks = [row for row in rows if row[0].endswith(".(.*)")]
    others = [row for row in rows if not row[0].endswith(".(.*)")]
    names = [(old.removesuffix(".(.*)"), new.removesuffix(".\\1")) for old, new in blocks]
    heads = {name[: len(name) - len(tail)] for name in draft.state for tail in _tails(name)}
    made = []
    for old, new in generalised(names, heads):
        number = old.count("(") + 1
        made.append((f"{old}.(.*)", f"{new}.\\{number}"))
    taken = {name for old, _ in made for name in draft.state if match(old, name) is not None}
    meant = {name for old, _ in blocks for name in draft.state if match(old, name) is not None}
    return [*others, *(made if taken == meant else blocks)]


def _tails(name: str) -> list[str]:
    parts = name.split(".")
    return ["." + ".".join(parts[i:]) for i in range(1, len(parts))]

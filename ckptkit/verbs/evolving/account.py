"""The proof that a migration of sections lost nothing but what its report says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ckptkit.nodes import MapNode, Path, key_token
from ckptkit.protocols import Move
from ckptkit.tree import resolve
from ckptkit.verbs.accounting import Placed, account_for
from ckptkit.verbs.evolving.trace import Gone
from ckptkit.verbs.section_migration import Round

_HERE = Move((), ())


def account_rounds(
    document: MapNode, rounds: Iterable[Round], placed: Iterable[Placed]
) -> list[Placed]:
    """Follow the leaves that are ``placed`` in ``document`` through every round.

    A leaf that lies as it was at another place has that place; one whose values went into others
    is derived: it has the first of them, and a note that names the operations; one that was
    dropped has none, and a note of that kind. Any other leaf without a place is lost.
    """
    rows = list(placed)
    for after, gone in rounds:
        where = {_hashable(row.source): row for row in _account(document, after, gone)}
        rows = [_followed(row, where) for row in rows]
        document = after
    return rows


def is_told(row: Placed) -> bool:
    """Say whether a leaf without a place was dropped by somebody who is named."""
    return row.note.startswith("dropped")


def _account(before: MapNode, after: MapNode, gone: Sequence[Gone]) -> Iterator[Placed]:
    moves = [_HERE, *(Move(g.source, g.targets[0], note=g.note) for g in gone if g.exact)]
    changed = {_hashable(one.source): one for one in gone if not one.exact}
    lengths = sorted({len(one.source) for one in gone if not one.exact}, reverse=True)
    for row in account_for(before, after, moves):
        lead = (row.source[:length] for length in lengths if length <= len(row.source))
        found = next((changed[key] for one in lead if (key := _hashable(one)) in changed), None)
        if found is None:
            yield row
        else:
            rest = row.source[len(found.source) :]
            target = _within(after, found.targets[0], rest) if found.targets else None
            yield row._replace(target=target, note=found.note, derived=True)


def _within(document: MapNode, target: Path, rest: Path) -> Path:
    """The same place below ``target``, if there is one."""
    try:
        resolve(document, (*target, *rest))
    except KeyError:
        return target
    return (*target, *rest)


def _hashable(path: Path) -> Path:
    """Equal for paths that lead to one place, and for no others."""
    return tuple(map(key_token, path))


def _followed(row: Placed, where: dict[Path, Placed]) -> Placed:
    found = None if row.target is None else where.get(_hashable(row.target))
    if found is None:
        return row
    notes = dict.fromkeys(note for note in (row.note, found.note) if note)
    note = found.note if found.target is None else "; ".join(notes)
    return row._replace(target=found.target, note=note, derived=row.derived or found.derived)

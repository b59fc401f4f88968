"""The sections of a document as another version of their trainer lays them out. In memory, lazily.

What a migrator does to the names of ``model`` is done to averaged weights, and to the state of
every optimizer whose parameters have names; everything else stays the very same node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptkit.algebra import Operation, Step, check_ties
from ckptkit.algebra.operation import Memo, State
from ckptkit.errors import MigrationError
from ckptkit.nodes import MapNode
from ckptkit.protocols import SectionMigrator
from ckptkit.report.values import Line
from ckptkit.schema.section_chain import (
    FIRST,
    Leg,
    check_migrators,
    newest,
    of_section,
    plan_section,
)
from ckptkit.verbs.evolving.averages import SECTION as AVERAGES
from ckptkit.verbs.evolving.averages import WEIGHTS, averages_of, carry_averages
from ckptkit.verbs.evolving.moments import carry
from ckptkit.verbs.evolving.names import state_of, with_state
from ckptkit.verbs.evolving.optimizer import (
    MODEL,
    Found,
    account,
    find_optimizers,
    lines_of,
    rebuilt,
)
from ckptkit.verbs.evolving.piece import Piece, with_pieces
from ckptkit.verbs.evolving.trace import Gone, Trace


class Round(NamedTuple):
    """A document after one section was migrated, and the leaves that are not where they were."""

    document: MapNode
    gone: tuple[Gone, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionMigration:
    """A migrated document. ``document`` is the old object itself where nothing was to do.

    ``titles``: one a migrator that was applied, in order. ``lines``: section -> what became of
    its names. ``rounds``: one a section that was migrated, in order. ``notes``: what could not
    follow, and why.
    """

    document: MapNode
    versions: Mapping[str, int]
    titles: tuple[str, ...] = ()
    lines: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)
    rounds: tuple[Round, ...] = ()
    notes: tuple[str, ...] = ()


class _Way(NamedTuple):
    section: str
    legs: Sequence[Leg]
    stop: int


class _Run(NamedTuple):
    """A state before the first step, and after each."""

    states: tuple[State, ...]
    steps: tuple[Step, ...]

    @property
    def trace(self) -> Trace:
        made = Trace(dict(self.states[0]))
        for step in self.steps:
            made.follow(step)
        return made


def migrate_sections(
    document: MapNode,
    trainer: str,
    versions: Mapping[str, int],
    migrators: Iterable[SectionMigrator],
    to: Mapping[str, int] | None = None,
) -> SectionMigration:
    """Lead the sections of ``trainer`` to the versions ``to``; None: each to its newest.

    ``versions`` are those that were found; a section without one is version 1: it was saved
    before the trainer counted. Nothing that was given is changed; no large tensor is read.
    Raises: MigrationError for a gap, for what does not fit, and for an operation that cannot be
    taken back; NewerSchemaError for a section that is newer than every migrator of it.
    """
    known = check_migrators(one for one in migrators if one.trainer == trainer)
    sections = [*dict.fromkeys(one.section for one in known)] if to is None else [*to]
    done = SectionMigration(document=document, versions=dict(versions))
    memo: Memo = {}
    for section in sections:
        way = _way(done, of_section(known, trainer, section), section, to)
        if way.legs:
            done = _migrated(done, way, memo)
    return done


def version_of(document: MapNode, versions: Mapping[str, int], section: str) -> int:
    """The version of a section; of a model that is there as an average only, the average's."""
    if section == MODEL and section not in document:
        return versions.get(AVERAGES, FIRST)
    return versions.get(section, FIRST)


def _way(
    done: SectionMigration,
    ways: dict[int, SectionMigrator],
    section: str,
    to: Mapping[str, int] | None,
) -> _Way:
    document = done.document
    start = version_of(document, done.versions, section)
    if section not in document and (section != MODEL or averages_of(document) is None):
        if to is None:
            return _Way(section, (), start)
        names = ", ".join(map(str, document)) or "none"
        raise MigrationError(f"section {section}", "is not in this checkpoint", f"one of {names}")
    stop = newest(ways, start) if to is None else to[section]
    return _Way(section, plan_section(ways, start, stop, f"section {section}"), stop)


def _migrated(done: SectionMigration, way: _Way, memo: Memo) -> SectionMigration:
    path = (way.section,) if way.section in done.document else (AVERAGES, WEIGHTS)
    node = done.document[path[0]] if len(path) == 1 else averages_of(done.document)
    if not isinstance(node, MapNode):
        raise MigrationError(
            f"section {way.section}", f"is {type(node).__name__}", "a mapping of names"
        )
    ran = _ran(way, state_of(node), memo)
    actions = [action for step in ran.steps for action in step.actions]
    last, trace = dict(ran.states[-1]), ran.trace
    pieces = [
        Piece(path, with_state(node, last, actions), tuple(trace.lines(last)),
              tuple(trace.gone(last, path)))
    ]  # fmt: skip
    if path == (MODEL,):
        operations = [step.operation for step in ran.steps]
        average = carry_averages(done.document, ran.states[0], operations, memo)
        pieces += [average] if average is not None else []
    pieces += _optimizers(done.document, way.section, ran)
    return _joined(done, way, pieces)


def _joined(done: SectionMigration, way: _Way, pieces: list[Piece]) -> SectionMigration:
    lines = dict(done.lines)
    for piece in pieces:
        lines[str(piece.path[0])] = (*lines.get(str(piece.path[0]), ()), *piece.lines)
    versions = {**done.versions, way.section: way.stop}
    if way.section == MODEL:  # what has the model's names has the model's layout
        versions |= {str(piece.path[0]): way.stop for piece in pieces if piece.lines}
    versions = {name: version for name, version in versions.items() if name in done.document}
    document = with_pieces(done.document, pieces)
    gone = tuple(gone for piece in pieces for gone in piece.gone)
    return SectionMigration(
        document=document,
        versions=versions,
        titles=(*done.titles, *(leg.title for leg in way.legs)),
        lines=lines,
        rounds=(*done.rounds, Round(document, gone)),
        notes=(*done.notes, *(note for piece in pieces for note in piece.notes)),
    )


def _ran(way: _Way, state: State, memo: Memo) -> _Run:
    """Every operation of the way. Raises: MigrationError, which names the migrator first."""
    states, steps = [state], list[Step]()
    for leg in way.legs:
        first = len(steps)
        try:
            for operation in _operations(leg):
                applied = operation.apply(states[-1], memo)
                states.append(applied.state)
                steps.append(Step(operation, applied.actions))
            check_ties(states[first], steps[first:], states[-1])
        except MigrationError as exc:
            where = f"{leg.title}: {exc.where}"
            raise MigrationError(where, exc.seen, exc.expected, exc.advice) from exc
    return _Run(tuple(states), tuple(steps))


def _operations(leg: Leg) -> list[Operation]:
    operations = []
    for one in leg.migrator.operations:
        if not isinstance(one, Operation):
            raise MigrationError(
                f"{one!r:.80}", f"is {type(one).__name__}", "an operation of ckptkit.algebra"
            )
        operations.append(one)
    if leg.backwards:
        return [operation.inverse() for operation in reversed(operations)]
    return operations


def _optimizers(document: MapNode, section: str, ran: _Run) -> list[Piece]:
    pieces = []
    for found in find_optimizers(document):
        if found.why:
            place = "/".join(map(str, found.path))
            pieces.append(Piece(found.path, found.node, notes=(f"{place}: {found.why}",)))
        elif any(one.section == section for one in found.kept):
            pieces.append(_carried(found, section, ran))
    return pieces


def _carried(found: Found, section: str, ran: _Run) -> Piece:
    kept = list(found.kept)
    for number, step in enumerate(ran.steps):
        both = ran.states[number], ran.states[number + 1]
        kept = carry(kept, section, step.operation, step.actions, both)
    if kept == list(found.kept):
        return Piece(found.path, found.node)
    return Piece(
        found.path, rebuilt(found, kept), tuple(lines_of(found, kept)), tuple(account(found, kept))
    )

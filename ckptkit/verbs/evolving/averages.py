"""Averaged weights have the model's names, so they follow the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ckptkit.algebra import Operation, run
from ckptkit.algebra.operation import Memo, State
from ckptkit.errors import MigrationError
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.verbs.evolving.names import state_of, with_state
from ckptkit.verbs.evolving.piece import Piece
from ckptkit.verbs.evolving.trace import Trace

SECTION, WEIGHTS = "ema", "weights"


def averages_of(document: MapNode) -> MapNode | None:
    """The averaged weights by name, where there are any."""
    section = document.get(SECTION)
    weights = section.get(WEIGHTS) if isinstance(section, MapNode) else None
    return weights if isinstance(weights, MapNode) else None


def carry_averages(
    document: MapNode, model: State, operations: Sequence[Operation], memo: Memo
) -> Piece | None:
    """Do to the averages what was done to the model; they may lack names, buffers for example.

    Raises: MigrationError.
    """
    section, weights = document.get(SECTION), averages_of(document)
    path = (SECTION, WEIGHTS)
    if weights is None:
        return _untouched(section)
    before = state_of(weights)
    if model.keys().isdisjoint(before):
        why = "the averaged weights have none of the model's names: they stay as they are"
        return Piece(path, weights, notes=(why,))
    try:
        ran = run((replace(one, optional=True) for one in operations), before, memo)
    except MigrationError as exc:
        where = f"section {SECTION}, which follows the model: {exc.where}"
        raise MigrationError(where, exc.seen, exc.expected, exc.advice) from exc
    trace = Trace(before)
    for step in ran.steps:
        trace.follow(step)
    actions = [action for step in ran.steps for action in step.actions]
    return Piece(
        path,
        with_state(weights, ran.state, actions),
        tuple(trace.lines(ran.state)),
        tuple(trace.gone(ran.state, path)),
    )


def _untouched(section: Node) -> Piece | None:
    if section is None:
        return None
    listed = isinstance(section, MapNode) and any(isinstance(v, SeqNode) for v in section.values())
    what = "are a list without names" if listed else "have another form than names and tensors"
    return Piece(
        (SECTION,), section, notes=(f"the averaged weights {what}: they stay as they are",)
    )

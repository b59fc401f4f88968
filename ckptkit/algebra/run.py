"""Several operations, one after the other, and the way back through them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ckptkit.algebra.operation import Memo, Operation, State
from ckptkit.algebra.step import Step
from ckptkit.algebra.ties import check_ties
from ckptkit.nodes import Node


class Ran(NamedTuple):
    """The last state, and every step that led to it."""

    state: dict[str, Node]
    steps: tuple[Step, ...]


def run(operations: Iterable[Operation], state: State, memo: Memo | None = None) -> Ran:
    """Apply ``operations`` in order. ``state`` stays as it is; no tensor is read.

    ``memo`` is shared between the states of one checkpoint, so that ties between them last.
    Raises: MigrationError, also for tied tensors that would be tied no more.
    """
    memo = {} if memo is None else memo
    now, steps = dict(state), []
    for operation in operations:
        applied = operation.apply(now, memo)
        steps.append(Step(operation, applied.actions))
        now = applied.state
    check_ties(state, steps, now)
    return Ran(now, tuple(steps))


def inverse_of(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """The operations that take all of these back. Raises: MigrationError, naming the first."""
    return tuple(operation.inverse() for operation in reversed(tuple(operations)))

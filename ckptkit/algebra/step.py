"""One step of a run: an operation, and what it did."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.algebra.operation import Action, Operation


class Step(NamedTuple):
    """One operation and what it did."""

    operation: Operation
    actions: tuple[Action, ...]

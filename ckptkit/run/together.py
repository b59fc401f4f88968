"""A decision that one process makes and all of them learn, be it a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ckptkit.errors import CkptkitError
from ckptkit.run.ranks import Ranks

Value = TypeVar("Value")


def decide_together(ranks: Ranks, decide: Callable[[], Value]) -> Value:
    """Call ``decide`` where disk is touched, and return its value everywhere.

    Raises: in every process what it raised in that one, so that none waits for the others.
    """
    value: Value | None = None
    error: CkptkitError | None = None
    if ranks.writes:
        try:
            value = decide()
        except CkptkitError as exc:
            error = exc
    value, error = ranks.share((value, error))
    if error is not None:
        raise error
    assert value is not None
    return value

"""The chain of migrators: from the version that was found to the one that is wanted.

Source: docs/migrations.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ckptkit.errors import MigrationError, NewerSchemaError
from ckptkit.nodes import MapNode
from ckptkit.protocols import Move
from ckptkit.schema.moves import compose_moves
from ckptkit.schema.stepping import Migrator
from ckptkit.schema.steps import v0_to_v1, v1_to_v2

TARGET = 2  # the newest version of the document
STEPS: Mapping[int, Migrator] = {
    step.start: step for step in (v0_to_v1.put_weights_under_model, v1_to_v2.sort_into_sections)
}


class ChainResult(NamedTuple):
    """The migrated document. ``moves`` lead from the first version to the last."""

    document: MapNode
    version: int
    steps: tuple[Migrator, ...]
    moves: tuple[Move, ...]


def plan_chain(version: int, target: int = TARGET) -> tuple[Migrator, ...]:
    """Return the steps from one version to another, in order; none if they are equal.

    Raises: NewerSchemaError for a version beyond the target; MigrationError for a gap.
    """
    if version > target:
        raise NewerSchemaError(
            "document", f"schema version {version}", f"at most {target}",
            "upgrade ckptkit to read this checkpoint",
        )  # fmt: skip
    steps = []
    while version < target:
        step = STEPS.get(version)
        if step is None or step.stop > target:
            raise MigrationError("document", f"no step leads from version {version} to {target}")
        steps.append(step)
        version = step.stop
    return tuple(steps)


def run_chain(document: MapNode, version: int, target: int = TARGET) -> ChainResult:
    """Migrate ``document``, which stays as it is; subtrees are shared, no tensor is read.

    Raises: NewerSchemaError, MigrationError.
    """
    steps = plan_chain(version, target)
    moves: tuple[Move, ...] = (Move((), ()),)
    for step in steps:
        document, step_moves = step.run(document)
        moves = compose_moves(moves, step_moves)
    return ChainResult(document, target, steps, moves)

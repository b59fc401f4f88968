"""Two names of one memory, after operations: they are tied still, or nobody goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ckptkit.algebra.custom import Custom
from ckptkit.algebra.operation import Operation, State
from ckptkit.algebra.step import Step
from ckptkit.errors import MigrationError
from ckptkit.nodes import TensorNode

_MAX_SHOWN = 3


def check_ties(before: State, steps: Sequence[Step], after: State) -> None:
    """Whatever was made of tensors that were tied is tied, too; names may be dropped.

    A model that ties the names would otherwise get the old values of one of them, and nobody
    would be told. Raises: MigrationError, which names the operation and the other names.
    """
    groups = [names for names in _tied(before).values() if len(names) > 1]
    if not groups:
        return
    ends: dict[str, tuple[str, ...]] = {name: (name,) for names in groups for name in names}
    by: dict[str, list[Operation]] = {name: [] for name in ends}
    for step in steps:
        _follow(step, ends, by)
    for names in groups:
        _check_group(names, before, after, ends, by)


def _tied(state: State) -> dict[tuple[Any, ...], list[str]]:
    """The names of each piece of memory; what is empty is tied to nothing."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, node in state.items():
        if isinstance(node, TensorNode) and node.numel:
            groups.setdefault(node.same_view(), []).append(name)
    return groups


def _follow(
    step: Step, ends: dict[str, tuple[str, ...]], by: Mapping[str, list[Operation]]
) -> None:
    """Where every name ends after one more step, and which operations it met."""
    into = {source: action.targets for action in step.actions for source in action.sources}
    for name, places in ends.items():
        if any(place in into for place in places):
            by[name].append(step.operation)
            ends[name] = tuple(new for place in places for new in into.get(place, (place,)))


def _check_group(
    names: Sequence[str], before: State, after: State,
    ends: Mapping[str, tuple[str, ...]], by: Mapping[str, Sequence[Operation]],
) -> None:  # fmt: skip
    met = [operation for name in names for operation in by[name]]
    if any(operation.untie for operation in met):
        return
    views = {name: _views(after, ends[name]) for name in names if ends[name]}
    old = _views(before, names[:1])
    changed = [name for name, view in views.items() if view != old]
    others = [name for name, view in views.items() if changed and view != views[changed[0]]]
    if not others or (any(isinstance(one, Custom) for one in met) and old not in views.values()):
        return  # a function makes tensors of its own; what it left alone is seen all the same
    more = f" and {len(others) - _MAX_SHOWN} more" if len(others) > _MAX_SHOWN else ""
    raise MigrationError(
        f"{by[changed[0]][-1]}: {changed[0]}",
        f"also names {', '.join(others[:_MAX_SHOWN])}{more}, which shares its memory and would "
        "have other values",
        "the same done to every name of one memory",
        f"name both, as ({changed[0]}|{others[0]}) does, or drop one; untie=True parts them",
    )


def _views(state: State, names: Sequence[str]) -> tuple[Any, ...]:
    nodes = (state[name] for name in names)
    return tuple(n.same_view() if isinstance(n, TensorNode) else (id(n),) for n in nodes)

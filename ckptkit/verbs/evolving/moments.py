"""What an optimizer keeps beside a parameter goes where the parameter goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ckptkit.algebra import Action, Custom, Operation, Rename
from ckptkit.algebra.tensors import bytes_of, computed
from ckptkit.containers.logical import logical_source
from ckptkit.errors import MigrationError
from ckptkit.nodes import MapNode, Node, TensorNode
from ckptkit.tree import equal

Shape = tuple[int, ...]
_COUNTERS = ("step",)  # of a parameter without axes, its state and its count have one shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One parameter of an optimizer, and what is kept for it.

    ``origins`` are the numbers of the stored parameters that it comes from; ``why`` says why
    nothing is kept any more.
    """

    section: str
    name: str
    shape: Shape | None
    group: int
    state: MapNode | None
    origins: tuple[int, ...]
    why: str = ""


States = tuple[Mapping[str, Node], Mapping[str, Node]]  # of the model, before and after


def carry(
    kept: Sequence[Kept], section: str, operation: Operation, actions: Sequence[Action],
    states: States,
) -> list[Kept]:  # fmt: skip
    """Do to the parameters of ``section`` what ``operation`` did to the model."""
    by_name = {one.name: number for number, one in enumerate(kept) if one.section == section}
    there: dict[int, list[Kept]] = {}
    gone: set[int] = set()
    for action in actions:
        numbers = [by_name[name] for name in action.sources if name in by_name]
        if not numbers:
            continue  # buffers, new parameters, and tensors of which another name is known
        olds = [kept[number] for number in numbers]
        there[numbers[0]] = _carried(olds, operation, action, states)
        gone.update(numbers)
    result: list[Kept] = []
    for number, one in enumerate(kept):
        result += there.get(number, [] if number in gone else [one])
    return result


def _carried(
    olds: Sequence[Kept], operation: Operation, action: Action, states: States
) -> list[Kept]:
    states_made, why = _states(olds, operation, action, states)
    made = []
    for index, target in enumerate(action.targets):
        node = states[1].get(target)
        made.append(
            replace(
                olds[0],
                name=target,
                shape=node.shape if isinstance(node, TensorNode) else None,
                state=states_made[index] if states_made is not None else None,
                origins=tuple(dict.fromkeys(n for old in olds for n in old.origins)),
                why=why or olds[0].why,
            )
        )
    return made


Made = tuple[list[MapNode | None] | None, str]  # a state for each target, or why there is none


def _states(olds: Sequence[Kept], operation: Operation, action: Action, states: States) -> Made:
    if all(old.state is None for old in olds):
        return None, ""
    if len(olds) != len(action.sources):
        return None, f"{operation}: only some of its parts were trained"
    same = len(action.targets) == 1 and len(olds) == 1
    if same and states[0][action.sources[0]] is states[1].get(action.targets[0]):
        return [olds[0].state], ""
    if isinstance(operation, Custom):
        return None, f"{operation}: a function knows nothing of optimizers"
    carried = operation.for_optimizer()
    if isinstance(operation, Rename) or (carried is None and same):
        return [old.state for old in olds], ""
    if any(old.state is None for old in olds):
        return None, f"{operation}: only some of its parts have state"
    assert carried is not None
    return _made(olds, carried, action, states[0])


def _made(
    olds: Sequence[Kept], operation: Operation, action: Action, before: Mapping[str, Node]
) -> Made:
    parts = [old.state for old in olds if old.state is not None]
    keys = [key for key, _ in parts[0].items()]
    if any({*map(str, part)} != {*map(str, keys)} for part in parts):
        return None, f"{operation}: its parts have state of different kinds"
    made: list[list[tuple[Node, Node]]] = [[] for _ in action.targets]
    shapes = [getattr(before[name], "shape", None) for name in action.sources]
    for key in keys:
        nodes = tuple(part[key] for part in parts)
        where = f"{operation}: {key} of {', '.join(action.sources[:3])}"
        try:
            if key not in _COUNTERS and _are_full(nodes, shapes):
                values = operation.make(where, nodes)
            else:
                values = _repeated(where, nodes, len(action.targets))
        except MigrationError as exc:
            return None, f"{exc.where} {exc.seen}"
        for pairs, value in zip(made, values, strict=True):
            pairs.append((key, value))
    return [MapNode(pairs, parts[0].kind, parts[0].attrs) for pairs in made], ""


def _are_full(nodes: Sequence[Node], shapes: Sequence[Shape | None]) -> bool:
    return all(
        isinstance(node, TensorNode) and node.shape == shape
        for node, shape in zip(nodes, shapes, strict=True)
    )


def _repeated(where: str, nodes: Sequence[Node], times: int) -> tuple[Node, ...]:
    """One value for all targets, each in memory of its own. Raises: MigrationError."""
    first = nodes[0]
    for node in nodes:
        if isinstance(node, TensorNode) and node.numel > 1:
            raise MigrationError(where, f"is {list(node.shape)}, not of the parameter's shape")
        if isinstance(node, TensorNode) != isinstance(first, TensorNode):
            raise MigrationError(where, "is a tensor here and a number there")
        same = _read(node) == _read(first) if isinstance(node, TensorNode) else equal(node, first)
        if not same:
            raise MigrationError(where, "differs between the parts")
    return tuple(_own(first) for _ in range(times))


def _read(node: TensorNode) -> tuple[str, bytes]:
    if node.storage.source is None:
        return node.dtype.name, b""
    source = logical_source(node)
    data = bytearray(source.nbytes)
    source.read_into(0, memoryview(data))
    return node.dtype.name, bytes(data)


def _own(node: Node) -> Node:
    """The same value in memory of its own: two counters must not count as one."""
    if not isinstance(node, TensorNode):
        return node
    return computed(node, node.shape, bytes_of(node))

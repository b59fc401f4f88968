"""The opcode that gives an object its state: kept beside it, never handed to it."""

from __future__ import annotations

from ckptkit.containers.pickle_machine import Machine, Op
from ckptkit.containers.rebuild_dtype import build_dtype
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode, TensorNode

_WITH_ATTRIBUTES = frozenset(("OrderedDict", "defaultdict", "Counter", "deque"))


def _build(vm: Machine, pos: int) -> int:
    vm.at = pos
    stack = vm.stack
    state = stack.pop()
    target = stack[-1]
    if isinstance(target, Record):
        use = vm.tracer.by_id.get(id(target.name))
        if use is not None:
            use.built += 1
        if id(target) in vm.pending:
            stack[-1] = vm.complete(target, state)
        elif target.states is None:
            target.states = [state]
        else:
            target.states.append(state)
    elif isinstance(target, (MapNode, SeqNode)) and target.kind in _WITH_ATTRIBUTES:
        target.attrs = _merge_state(vm, target.attrs, state)
    elif type(target) is TensorNode:
        _keep_tensor_state(vm, target, state)
    elif type(target) is Atom and id(target) in vm.dtypes:
        build_dtype(vm, target, state)
    else:
        _refuse_build(vm, target)
    return pos


def _merge_state(vm: Machine, attrs: MapNode | None, state: Node) -> MapNode | None:
    """Do what BUILD does to an object's attributes: a later value replaces an earlier one."""
    parts = [state]
    if type(state) is SeqNode and state.kind == "tuple" and len(state.items) == 2:
        parts = state.items
    for part in parts:
        if part is None:
            continue
        if type(part) is not MapNode:
            vm.refuse(f"BUILD with a {type(part).__name__} for its state", "a mapping")
        if attrs is None:
            vm.spend()
            attrs = MapNode()
        for key, value in part.items():
            if type(key) is not str:
                vm.refuse("BUILD of an attribute whose name is no text")
            attrs[key] = value
    return attrs


def _keep_tensor_state(vm: Machine, tensor: TensorNode, state: Node) -> None:
    if tensor.extra is None:
        tensor.extra = MapNode()
    states = tensor.extra.get("states")
    if states is None:
        vm.spend(2)
        states = SeqNode([])
        tensor.extra["states"] = states
    states.items.append(state)


def _refuse_build(vm: Machine, target: Node) -> None:
    if isinstance(target, GlobalName):
        vm.tracer.notice("danger", "changes-a-name", f"BUILD on {target.text!r} itself: alters it")
        vm.tracer.meet(target.module, target.qualname, vm.at).built += 1
    vm.refuse(f"BUILD on a {type(target).__name__}", "an object that has a state")


BUILD_OPS: dict[int, Op] = {ord("b"): _build}

"""Opcodes that build and fill tuples, lists, mappings and sets."""

from __future__ import annotations

from ckptkit.containers.pickle_machine import Machine, Op
from ckptkit.nodes import GlobalName, MapNode, Node, Record, SeqNode


def _empty_list(vm: Machine, pos: int) -> int:
    vm.spend()
    vm.stack.append(SeqNode([]))
    return pos


def _empty_dict(vm: Machine, pos: int) -> int:
    vm.spend()
    vm.stack.append(MapNode())
    return pos


def _empty_set(vm: Machine, pos: int) -> int:
    vm.spend()
    vm.stack.append(SeqNode([], "set"))
    return pos


def _empty_tuple(vm: Machine, pos: int) -> int:
    vm.spend()
    vm.stack.append(SeqNode([], "tuple"))
    return pos


def _tuple_1(vm: Machine, pos: int) -> int:
    vm.spend()
    stack = vm.stack
    stack[-1] = SeqNode([stack[-1]], "tuple")
    return pos


def _tuple_2(vm: Machine, pos: int) -> int:
    vm.spend()
    stack = vm.stack
    last = stack.pop()
    stack[-1] = SeqNode([stack[-1], last], "tuple")
    return pos


def _tuple_3(vm: Machine, pos: int) -> int:
    vm.spend()
    stack = vm.stack
    last, middle = stack.pop(), stack.pop()
    stack[-1] = SeqNode([stack[-1], middle, last], "tuple")
    return pos


def _tuple(vm: Machine, pos: int) -> int:
    vm.spend()
    items = vm.pop_mark()
    vm.stack.append(SeqNode(items, "tuple"))
    return pos


def _list(vm: Machine, pos: int) -> int:
    vm.spend()
    items = vm.pop_mark()
    vm.stack.append(SeqNode(items))
    return pos


def _frozenset(vm: Machine, pos: int) -> int:
    vm.at = pos
    vm.spend()
    items = vm.pop_mark()
    vm.stack.append(SeqNode(distinct(vm, items), "frozenset"))
    return pos


def distinct(vm: Machine, items: list[Node]) -> list[Node]:
    """The items of a set, once each in their order; refuses what cannot be in one."""
    members = MapNode()
    for item in items:
        if type(item) is str:
            members[item] = None
        else:
            vm.set_pair(members, item, None)
    return list(members)


def _fill(vm: Machine, node: MapNode, items: list[Node]) -> None:
    if len(items) % 2:
        vm.refuse("a mapping with a key that has no value")
    pairs = iter(items)
    for key, value in zip(pairs, pairs, strict=True):
        if type(key) is str:
            node[key] = value
        else:
            vm.set_pair(node, key, value)


def _dict(vm: Machine, pos: int) -> int:
    vm.at = pos
    vm.spend()
    items = vm.pop_mark()
    node = MapNode()
    _fill(vm, node, items)
    vm.stack.append(node)
    return pos


def _set_items_of(vm: Machine, target: Node, items: list[Node]) -> None:
    if type(target) is MapNode:
        _fill(vm, target, items)
    elif isinstance(target, Record):
        if target.entries is None:
            vm.spend()
            target.entries = MapNode()
        _count_built(vm, target)
        _fill(vm, target.entries, items)
    elif type(target) is SeqNode and target.kind == "list" and len(items) == 2:
        index, value = items
        if type(index) is not int or not 0 <= index < len(target.items):
            vm.refuse("SETITEM outside of its list")
        target.items[index] = value
    else:
        _refuse_target(vm, target, "SETITEM", "a mapping")


def _set_item(vm: Machine, pos: int) -> int:
    vm.at = pos
    stack = vm.stack
    value, key = stack.pop(), stack.pop()
    _set_items_of(vm, stack[-1], [key, value])
    return pos


def _set_items(vm: Machine, pos: int) -> int:
    vm.at = pos
    items = vm.pop_mark()
    _set_items_of(vm, vm.stack[-1], items)
    return pos


def _append_to(vm: Machine, target: Node, items: list[Node]) -> None:
    if type(target) is SeqNode and target.kind in ("list", "deque"):
        target.items.extend(items)
    elif isinstance(target, Record):
        _count_built(vm, target)
        if target.items is None:
            target.items = []
        target.items.extend(items)
    else:
        _refuse_target(vm, target, "APPEND", "a list")


def _append(vm: Machine, pos: int) -> int:
    item = vm.stack.pop()
    target = vm.stack[-1]
    if type(target) is SeqNode and target.kind == "list":
        target.items.append(item)
    else:
        vm.at = pos
        _append_to(vm, target, [item])
    return pos


def _appends(vm: Machine, pos: int) -> int:
    vm.at = pos
    items = vm.pop_mark()
    _append_to(vm, vm.stack[-1], items)
    return pos


def _add_items(vm: Machine, pos: int) -> int:
    vm.at = pos
    items = vm.pop_mark()
    target = vm.stack[-1]
    if type(target) is SeqNode and target.kind == "set":
        target.items.extend(distinct(vm, items))
    elif isinstance(target, Record):
        _append_to(vm, target, items)
    else:
        _refuse_target(vm, target, "ADDITEMS", "a set")
    return pos


def _count_built(vm: Machine, target: Record) -> None:
    use = vm.tracer.by_id.get(id(target.name))
    if use is not None:
        use.built += 1


def _refuse_target(vm: Machine, target: Node, what: str, expected: str) -> None:
    if isinstance(target, GlobalName):
        vm.tracer.notice(
            "danger", "changes-a-name", f"{what} on {target.text!r} itself: calls a method of it"
        )
    vm.refuse(f"{what} on a {type(target).__name__}", expected)


COLLECTION_OPS: dict[int, Op] = {
    ord("]"): _empty_list,
    ord("}"): _empty_dict,
    0x8F: _empty_set,
    ord(")"): _empty_tuple,
    0x85: _tuple_1,
    0x86: _tuple_2,
    0x87: _tuple_3,
    ord("t"): _tuple,
    ord("l"): _list,
    0x91: _frozenset,
    ord("d"): _dict,
    ord("s"): _set_item,
    ord("u"): _set_items,
    ord("a"): _append,
    ord("e"): _appends,
    0x90: _add_items,
}

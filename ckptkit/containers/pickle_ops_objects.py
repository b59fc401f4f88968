"""Opcodes that name and call objects: here they become labels, never live things."""

from __future__ import annotations

from ckptkit.containers.pickle_machine import MAX_NAME_NBYTES, PERSISTENT, Machine, Op
from ckptkit.containers.pickle_ops_numbers import read_line
from ckptkit.containers.rebuild import CALLS, NEWS, canonical, value_of
from ckptkit.containers.storage_node import StorageNode
from ckptkit.containers.trace import NameUse
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode

NAME_NODES = 3  # a name with its counters costs as much memory as so many nodes
COMPUTED = GlobalName("", "computed-callable")  # a call of something that is no plain name
EXTENSION = GlobalName("copyreg", "_inverted_registry")  # where extension codes are looked up


# -- names -----------------------------------------------------------------------------------------


def resolve(vm: Machine, module: str, qualname: str, pos: int) -> NameUse:
    """Count a name; the first time, look up what ckptkit knows of it. Nothing is imported."""
    tracer = vm.tracer
    use = tracer.uses.get((module, qualname))
    if use is not None:
        use.named += 1
        return use
    vm.at = pos
    vm.spend(NAME_NODES)
    use = tracer.meet(module, qualname, pos)
    key = canonical(module, qualname)
    use.call, use.new = CALLS.get(key), NEWS.get(key)
    value = value_of(module, qualname)
    if value is not None:
        use.value = Atom(*value)
    return use


def _read_name(vm: Machine, pos: int) -> tuple[str, str, int]:
    first, after = read_line(vm, pos, "a module name")
    second, after = read_line(vm, after, "a name")
    vm.at = pos
    if len(first) > MAX_NAME_NBYTES or len(second) > MAX_NAME_NBYTES:
        vm.refuse("a name of absurd length", f"at most {MAX_NAME_NBYTES} bytes")
    try:
        return first.decode(), second.decode(), after
    except UnicodeDecodeError:
        vm.tracer.notice("danger", "name-not-text", f"a name that is no text: {first!r} {second!r}")
        return vm.refuse("a name that is not UTF-8")


def _global(vm: Machine, pos: int) -> int:
    module, qualname, after = _read_name(vm, pos)
    vm.stack.append(resolve(vm, module, qualname, pos - 1).value)
    return after


def _stack_global(vm: Machine, pos: int) -> int:
    stack = vm.stack
    qualname, module = stack.pop(), stack.pop()
    if type(qualname) is not str or type(module) is not str:
        vm.at = pos
        vm.tracer.notice("danger", "computed-name", "a name that is put together while it is read")
        vm.refuse("a name made of something that is no text")
    stack.append(resolve(vm, module, qualname, pos - 1).value)
    return pos


# -- calls -----------------------------------------------------------------------------------------


def _make(vm: Machine, pos: int, callee: Node, args: list[Node], how: str) -> Node:
    """What calling ``callee`` stands for: a rebuilt value where it is known, else a Record."""
    vm.at = pos
    vm.spend()
    if type(callee) is GlobalName:
        use = vm.tracer.by_id.get(id(callee)) or vm.tracer.meet(callee.module, callee.qualname, pos)
        use.calls += 1
        if use.watched:
            vm.tracer.judge(use, args)
        known = use.call if how == "call" else use.new
        if known is not None:
            value = known(vm, args)
            if value is not NotImplemented:
                return value
        return Record(callee, how, tuple(args))
    _note_computed(vm, callee)
    return Record(COMPUTED, how, (callee, SeqNode(args, "tuple")))


def _note_computed(vm: Machine, callee: Node) -> None:
    """A class that a function made is common; a method that getattr reached is an attack."""
    if isinstance(callee, Record) and callee.name.qualname == "getattr":
        vm.tracer.notice("danger", "calls-attribute", "an attribute is looked up and then called")
        return
    vm.tracer.notice("info", "computed-callable", "something that is no plain name is called")


def _args_of(vm: Machine, pos: int, args: Node) -> list[Node]:
    if type(args) is SeqNode and args.kind in ("tuple", "torch.Size"):
        return args.items
    vm.at = pos
    return vm.refuse(f"a call whose arguments are a {type(args).__name__}", "a tuple")


def _reduce(vm: Machine, pos: int) -> int:
    stack = vm.stack
    args = stack.pop()
    callee = stack[-1]
    if type(callee) is GlobalName and type(args) is SeqNode and args.kind == "tuple":
        use = vm.tracer.by_id.get(id(callee))
        if (
            use is not None and use.call is not None and not use.watched
        ):  # the way of every tensor: keep it short
            use.calls += 1
            vm.nodes_left -= 1
            if vm.nodes_left < 0:
                vm.spend()
            vm.at = pos
            value = use.call(vm, args.items)
            stack[-1] = (
                Record(callee, "call", tuple(args.items)) if value is NotImplemented else value
            )
            return pos
    stack[-1] = _make(vm, pos, callee, _args_of(vm, pos, args), "call")
    return pos


def _new_obj(vm: Machine, pos: int) -> int:
    stack = vm.stack
    args = stack.pop()
    stack[-1] = _make(vm, pos, stack[-1], _args_of(vm, pos, args), "new")
    return pos


def _new_obj_ex(vm: Machine, pos: int) -> int:
    stack = vm.stack
    kwargs, args = stack.pop(), stack.pop()
    items = _args_of(vm, pos, args)
    if type(kwargs) is not MapNode:
        vm.at = pos
        vm.refuse("NEWOBJ_EX whose keywords are no mapping")
    node = _make(vm, pos, stack[-1], items, "new")
    if len(kwargs):
        if not isinstance(node, Record):  # a known value has no keywords: keep both as a Record
            node = Record(stack[-1], "new", tuple(items))
        node.kwargs = kwargs
    stack[-1] = node
    return pos


def _obj(vm: Machine, pos: int) -> int:
    items = vm.pop_mark()
    if not items:
        vm.at = pos
        vm.refuse("OBJ without its class")
    vm.stack.append(_make(vm, pos, items[0], items[1:], "new"))
    return pos


def _inst(vm: Machine, pos: int) -> int:
    module, qualname, after = _read_name(vm, pos)
    use = resolve(vm, module, qualname, pos - 1)
    items = vm.pop_mark()
    vm.stack.append(_make(vm, after, use.value, items, "new"))
    return after


def _extension(nbytes: int) -> Op:
    def push(vm: Machine, pos: int) -> int:
        raw = vm.data[pos : pos + nbytes]
        vm.at = pos
        if len(raw) < nbytes:
            vm.refuse_short("an extension code")
        code = int.from_bytes(raw, "little")
        vm.tracer.notice(
            "danger", "extension-code", f"extension code {code:#x} stands for a name kept elsewhere"
        )
        vm.tracer.meet("copyreg", f"extension {code:#x}", pos - 1).calls += 1
        if not 0 < code < 1 << 31:
            vm.refuse(f"extension code {code:#x}", "a positive one")
        vm.spend()
        vm.stack.append(Record(EXTENSION, "extension", (code,)))
        return pos + nbytes

    return push


# -- persistent ids --------------------------------------------------------------------------------


def _persist(vm: Machine, pid: Node) -> Node:
    vm.spend()
    if vm.persistent is not None:
        node = vm.persistent(pid)
        if type(node) is StorageNode:
            vm.storages.append(node)
        return node
    return Record(PERSISTENT, "persistent", (pid,))


def _bin_persid(vm: Machine, pos: int) -> int:
    vm.at = pos
    stack = vm.stack
    stack[-1] = _persist(vm, stack[-1])
    return pos


def _persid(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "a persistent id")
    vm.at = pos
    if not line.isascii():
        vm.refuse("a persistent id that is not ASCII")
    vm.stack.append(_persist(vm, line.decode("ascii")))
    return after


OBJECT_OPS: dict[int, Op] = {
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    0x81: _new_obj,
    0x92: _new_obj_ex,
    ord("o"): _obj,
    ord("i"): _inst,
    0x82: _extension(1),
    0x83: _extension(2),
    0x84: _extension(4),
    ord("Q"): _bin_persid,
    ord("P"): _persid,
}

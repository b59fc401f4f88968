"""Opcodes that move values: marks, memo, duplication, protocol and frame headers, the end."""

from __future__ import annotations

from struct import Struct

from ckptkit.containers.pickle_machine import Machine, Op
from ckptkit.containers.pickle_ops_numbers import parse_int, read_line
from ckptkit.errors import LimitExceededError
from ckptkit.nodes import Node

_U32, _U64 = Struct("<I").unpack_from, Struct("<Q").unpack_from

HIGHEST_PROTOCOL = 5
MAX_OPEN_MARKS = 250_000  # each open MARK costs an empty list; honest nesting is far below


def _mark(vm: Machine, pos: int) -> int:
    meta = vm.meta
    if len(meta) > MAX_OPEN_MARKS:
        vm.at = pos
        vm.refuse("too many open marks", f"at most {MAX_OPEN_MARKS}", LimitExceededError)
    meta.append(vm.stack)
    vm.stack = []
    return pos


def _bin_put(vm: Machine, pos: int) -> int:
    index, memo = vm.data[pos], vm.memo
    if index == len(memo) and not vm.far:
        memo.append(vm.stack[-1])
    else:
        vm.remember(index, vm.stack[-1])
    return pos + 1


def _long_bin_put(vm: Machine, pos: int) -> int:
    index, memo = _U32(vm.data, pos)[0], vm.memo
    if index == len(memo) and not vm.far:
        memo.append(vm.stack[-1])
    else:
        vm.at = pos
        vm.remember(index, vm.stack[-1])
    return pos + 4


def _memoize(vm: Machine, pos: int) -> int:
    if vm.far:
        vm.at = pos
        vm.remember(len(vm.memo) + len(vm.far), vm.stack[-1])
    else:
        vm.memo.append(vm.stack[-1])
    return pos


def _put(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "a PUT")
    index = parse_int(vm, line, pos)
    if index < 0:
        vm.refuse("a negative memo index")
    vm.remember(index, vm.stack[-1])
    return after


def _bin_get(vm: Machine, pos: int) -> int:
    index, memo = vm.data[pos], vm.memo
    if index < len(memo):
        vm.stack.append(memo[index])
    else:
        vm.at = pos
        vm.stack.append(vm.recall(index))
    return pos + 1


def _long_bin_get(vm: Machine, pos: int) -> int:
    index, memo = _U32(vm.data, pos)[0], vm.memo
    if index < len(memo):
        vm.stack.append(memo[index])
    else:
        vm.at = pos
        vm.stack.append(vm.recall(index))
    return pos + 4


def _get(vm: Machine, pos: int) -> int:
    line, after = read_line(vm, pos, "a GET")
    vm.stack.append(vm.recall(parse_int(vm, line, pos)))
    return after


def _drop(vm: Machine, nodes: list[Node]) -> None:
    """Keep what is popped where a watched name may hide in it; else let it go."""
    if vm.tracer.watching:
        vm.dropped.extend(nodes)


def _pop(vm: Machine, pos: int) -> int:
    if vm.stack:
        _drop(vm, [vm.stack.pop()])
    else:
        vm.pop_mark()
    return pos


def _pop_mark(vm: Machine, pos: int) -> int:
    _drop(vm, vm.pop_mark())
    return pos


def _dup(vm: Machine, pos: int) -> int:
    vm.stack.append(vm.stack[-1])
    return pos


def _proto(vm: Machine, pos: int) -> int:
    if vm.data[pos] > HIGHEST_PROTOCOL:
        vm.at = pos
        vm.refuse(f"pickle protocol {vm.data[pos]}", f"at most {HIGHEST_PROTOCOL}")
    return pos + 1


def _frame(vm: Machine, pos: int) -> int:
    nbytes = _U64(vm.data, pos)[0]
    if pos + 8 + nbytes > vm.end:
        vm.at = pos
        vm.refuse_short(f"a FRAME of {nbytes:#x} bytes")
    return pos + 8  # as the C unpickler does, nobody minds where a frame ends


def _stop(vm: Machine, pos: int) -> int:
    if not vm.stack:
        vm.at = pos
        vm.refuse("STOP with nothing to return")
    vm.stop = pos
    return -1


STACK_OPS: dict[int, Op] = {
    ord("("): _mark,
    ord("q"): _bin_put,
    ord("r"): _long_bin_put,
    0x94: _memoize,
    ord("p"): _put,
    ord("h"): _bin_get,
    ord("j"): _long_bin_get,
    ord("g"): _get,
    ord("0"): _pop,
    ord("1"): _pop_mark,
    ord("2"): _dup,
    0x80: _proto,
    0x95: _frame,
    ord("."): _stop,
}

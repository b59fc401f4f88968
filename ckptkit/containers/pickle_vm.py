"""The inert pickle machine: opcodes of protocols 0 to 5 become nodes, and nothing else happens.

It resolves no name, imports nothing and calls nothing of the file: a name is a ``GlobalName``,
a call of a known name is rebuilt by the exact table in ``rebuild``, any other is a Record.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from struct import error as ShortRead  # noqa: N812 - said as what it means here
from typing import NamedTuple

from ckptkit.containers.pickle_machine import Machine, Op
from ckptkit.containers.pickle_ops_build import BUILD_OPS
from ckptkit.containers.pickle_ops_collections import COLLECTION_OPS
from ckptkit.containers.pickle_ops_numbers import NUMBER_OPS
from ckptkit.containers.pickle_ops_objects import OBJECT_OPS
from ckptkit.containers.pickle_ops_stack import STACK_OPS
from ckptkit.containers.pickle_ops_texts import TEXT_OPS
from ckptkit.containers.storage_node import settle_storages
from ckptkit.containers.trace import Tracer
from ckptkit.errors import ContainerError, LimitExceededError
from ckptkit.nodes import GlobalName, Node
from ckptkit.types import Limits


class PickleResult(NamedTuple):
    """What a stream returned, and the offset after its STOP."""

    value: Node
    stop: int


def _unknown_opcode(vm: Machine, pos: int) -> int:
    vm.at = pos - 1
    return vm.refuse(f"byte {vm.data[pos - 1]:#04x}, which is no pickle opcode", "a pickle")


_KNOWN_OPS = NUMBER_OPS | TEXT_OPS | STACK_OPS | COLLECTION_OPS | OBJECT_OPS | BUILD_OPS
OPS: tuple[Op, ...] = tuple(_KNOWN_OPS.get(code, _unknown_opcode) for code in range(256))


def read_pickle(
    data: bytes | memoryview,
    *,
    stream: str,
    tracer: Tracer,
    limits: Limits,
    persistent: Callable[[Node], Node] | None = None,
    start: int = 0,
    nodes_for: int = 0,
) -> PickleResult:
    """Read the pickle that begins at ``start``.

    ``persistent`` turns the node of a persistent id into another one, such as a StorageNode;
    without it the ids stay Records. ``nodes_for`` is the size of the file, for the node budget.
    Raises: PickleStreamError, TruncatedFileError, TensorBoundsError, LimitExceededError, and
    whatever ContainerError ``persistent`` raises.
    """
    if len(data) > limits.max_pickle_nbytes:
        raise LimitExceededError(
            stream, f"a pickle of {len(data)} bytes", f"at most {limits.max_pickle_nbytes}",
            "raise --limit max_pickle_nbytes=N",
        )  # fmt: skip
    vm = Machine(bytes(data), stream, tracer, limits)
    vm.persistent = persistent
    vm.set_budget(nodes_for)
    collecting = gc.isenabled()
    gc.disable()  # nothing here becomes garbage, and looking for some takes half of the time
    try:
        follow(vm, start)
        settle_storages(vm.storages)
        return PickleResult(vm.stack[-1], vm.stop)
    except ContainerError:
        from ckptkit.containers.pickle_sweep import sweep  # only broken streams pay for it

        sweep(vm.data, start, tracer)
        raise
    finally:
        if tracer.watching:
            tracer.close(_everything(vm))
        if collecting:
            gc.enable()


def read_nested(
    outer: Machine, data: bytes, start: int, persistent: Callable[[Node], Node]
) -> PickleResult:
    """Read a pickle inside a byte string, on the budget and the tracer of the outer one."""
    vm = Machine(data, f"{outer}, inside its bytes", outer.tracer, outer.limits)
    vm.persistent, vm.nested = persistent, True
    vm.nodes_left, vm.keys_left = outer.nodes_left, outer.keys_left
    follow(vm, start)
    outer.nodes_left, outer.keys_left = vm.nodes_left, vm.keys_left
    if vm.tracer.watching:
        outer.dropped.extend(_everything(vm))
    return PickleResult(vm.stack[-1], vm.stop)


def _everything(vm: Machine) -> list[Node]:
    """All that the stream made and may still reach; a name in the memo alone is no use of it."""
    kept = [node for node in (*vm.memo, *vm.far.values()) if type(node) is not GlobalName]
    return [*vm.stack, *(node for part in vm.meta for node in part), *kept, *vm.dropped]


def follow(vm: Machine, pos: int) -> None:
    """Follow the stream to its STOP. Raises: ContainerError."""
    data, ops = vm.data, OPS
    try:
        while pos >= 0:
            at = pos
            pos = ops[data[pos]](vm, pos + 1)
    except IndexError:  # a pop from an empty stack, or a byte after the last one
        vm.at = at
        if at + 1 >= vm.end:
            vm.refuse_short("a pickle that has no STOP")
        vm.refuse(f"opcode {data[at]:#04x} takes more than the stack holds")
    except ShortRead:
        vm.at = at
        vm.refuse_short(f"the argument of opcode {data[at]:#04x}")

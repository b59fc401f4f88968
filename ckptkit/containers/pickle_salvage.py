"""A pickle that breaks off: what it had built until then, as the tree that it was going to be."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import NamedTuple

from ckptkit.containers.pickle_machine import Machine
from ckptkit.containers.pickle_vm import follow
from ckptkit.containers.storage_node import StorageNode, settle_storages
from ckptkit.containers.trace import Tracer
from ckptkit.errors import ContainerError
from ckptkit.nodes import GlobalName, MapNode, Node, SeqNode
from ckptkit.types import Limits


class Salvaged(NamedTuple):
    """The value of a stream, whole if ``error`` is None; ``stop`` is where its reading ended."""

    value: Node
    stop: int
    error: ContainerError | None


def read_what_is_left(
    data: bytes, stream: str, limits: Limits, persistent: Callable[[Node], Node], nodes_for: int
) -> Salvaged:
    """Read a pickle to its end or its breakage; never raises for the stream.

    Of a broken one the containers that were open are closed with what they had; a value that
    was still being made is left out.
    """
    vm = Machine(data, stream, Tracer(stream), limits)
    vm.persistent = persistent
    vm.set_budget(nodes_for)
    collecting = gc.isenabled()
    gc.disable()  # as the reader of whole pickles does
    try:
        follow(vm, 0)
        settle_storages(vm.storages)
        return Salvaged(vm.stack[-1], vm.stop, None)
    except ContainerError as exc:
        value = _closed(vm)
        settle_storages(vm.storages)
        return Salvaged(value, vm.at, exc)
    finally:
        if collecting:
            gc.enable()


def _closed(vm: Machine) -> Node:
    """Put what lies above each mark into the container that the mark was set for."""
    frames = [*vm.meta, vm.stack]
    above: list[Node] = []
    while frames:
        frame = frames.pop()
        if above and frame:
            _fill(frame[-1], above)
        above = _folded(frame)
    return above[0] if above else None


def _folded(frame: list[Node]) -> list[Node]:
    """Give a container at the front the one item behind it, which had no mark of its own."""
    first = frame[0] if frame else None
    is_pair = isinstance(first, MapNode) and len(frame) == 3
    is_item = isinstance(first, SeqNode) and len(frame) == 2
    if isinstance(first, MapNode | SeqNode) and (is_pair or is_item) and len(first) == 0:
        _fill(first, frame[1:])
        return frame[:1]
    return frame


def _fill(container: Node, items: list[Node]) -> None:
    if isinstance(container, MapNode):
        for key, value in zip(items[::2], items[1::2], strict=False):
            if type(key) not in (str, int) or isinstance(value, GlobalName | StorageNode):
                return  # the parts of a value that was still being made
            container[key] = value
    elif isinstance(container, SeqNode) and container.kind == "list":
        for item in items:
            if isinstance(item, GlobalName | StorageNode):
                return
            container.items.append(item)

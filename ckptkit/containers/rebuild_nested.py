"""A storage that plain ``pickle`` wrote: a whole torch.save file inside a byte string."""

from __future__ import annotations

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.pickle_machine import PERSISTENT, Machine
from ckptkit.containers.storage_node import StorageNode, parse_storage_id
from ckptkit.errors import CorruptFileError
from ckptkit.nodes import Node, Record, SeqNode, Storage

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def rebuild_from_bytes(vm: Machine, args: list[Node]) -> Node:
    """``torch.storage._load_from_bytes(file)``: the storage in it, if it is only that.

    ``Storage.__reduce__`` writes a legacy file with one storage as its object. Anything else,
    such as another file with more of these calls, stays a Record, and ``scan`` says so.
    """
    raw = args[0] if len(args) == 1 else None
    if type(raw) is not bytes or vm.nested:
        return NotImplemented
    vm.charge(len(raw))
    inner = _Inner(vm, raw)
    node = inner.read()
    if node is None:
        return NotImplemented
    vm.tracer.excuse("torch.storage", "_load_from_bytes", raw)
    return node


class _Inner:
    """The reading of one nested file; its names count for the stream that holds it."""

    def __init__(self, vm: Machine, raw: bytes) -> None:
        self.vm, self.raw, self.position = vm, raw, 0
        self.node: StorageNode | None = None

    def read(self) -> Node | None:
        """The storage of the file; None if the file holds something else."""
        if self._next() != MAGIC or self._next() != PROTOCOL:
            return None
        self._next()
        value = self._next()
        keys = self._next()
        if value is not self.node or self.node is None or type(keys) is not SeqNode:
            return None
        if keys.items != [self.node.storage.key]:
            return None
        return self._fill(self.node)

    def _next(self) -> Node:
        from ckptkit.containers.pickle_vm import read_nested

        value, self.position = read_nested(self.vm, self.raw, self.position, self._persistent)
        return value

    def _persistent(self, pid: Node) -> Node:
        found = parse_storage_id(pid, self.vm)
        if found is None or self.node is not None:
            return Record(PERSISTENT, "persistent", (pid,))
        storage = Storage(found.key, found.nbytes, None, found.location)
        view = found.view
        item = found.dtype.nbytes if found.dtype else 1
        if view is None:
            self.node = StorageNode(storage, found.dtype, 0, found.nbytes, found.name)
        else:
            self.node = StorageNode(
                storage, found.dtype, view[1] * item, view[2] * item, found.name
            )
        return self.node

    def _fill(self, node: StorageNode) -> Node:
        held = node.held
        start, nbytes = self.position + 8, held.storage.nbytes
        item = held.dtype.nbytes if held.dtype else 1
        count = int.from_bytes(self.raw[self.position : start], "little", signed=True)
        data = self.raw[start : start + nbytes]
        if count * item != nbytes or len(data) != nbytes:
            self.vm.refuse("a nested storage of another size than it says", kind=CorruptFileError)
        if held.start + held.nbytes > nbytes:
            self.vm.refuse("a nested storage view that leaves its storage", kind=CorruptFileError)
        held.storage.source = MemoryBytes(data)
        self.vm.storages.append(node)
        return node

"""What one reading of a pickle stream works on: stack, marks, memo, budgets, and its refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeAlias

from ckptkit.containers.storage_node import StorageNode
from ckptkit.containers.trace import Tracer
from ckptkit.errors import (
    ContainerError,
    LimitExceededError,
    PickleStreamError,
    TruncatedFileError,
)
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode
from ckptkit.types import Limits

Op: TypeAlias = "Callable[[Machine, int], int]"  # (machine, offset after the opcode) -> next offset
PERSISTENT = GlobalName("", "persistent-id")  # the label of an id that nobody resolves
Finish: TypeAlias = "Callable[[Machine, Record, Node], Node]"  # BUILD's state completes a stand-in

MAX_NAME_NBYTES = 65_535  # of a module or qualname; Python's own longest legal ones are far below
SPARE_NBYTES = 1 << 20  # what small files may make by calls beyond twice their own size
CHEAP_KEY_NODES = 16  # keys of so few parts cost no more than the opcodes that use them
FAR_MEMO_ENTRY_NODES = 1  # an out-of-order memo entry costs as much memory as a small node


class Machine:
    """The state of one reading. It resolves no name, imports nothing and calls nothing of the file.

    ``stack`` is the part above the last MARK, ``meta`` the parts below it: popping more than
    was pushed since the MARK is an IndexError, which ``run`` translates.
    """

    __slots__ = (
        "at", "bytes_left", "data", "dropped", "dtypes", "end", "far", "keys_left", "limits",
        "memo", "meta", "nested", "nodes_left", "pending", "persistent", "raw_strings", "stack",
        "stop", "storages", "stream", "tracer",
    )  # fmt: skip

    def __init__(self, data: bytes, stream: str, tracer: Tracer, limits: Limits) -> None:
        self.data, self.end = data, len(data)
        self.stream, self.tracer, self.limits = stream, tracer, limits
        self.stack: list[Node] = []
        self.meta: list[list[Node]] = []
        self.memo: list[Node] = []  # entries 0, 1, 2 ... as every honest pickler numbers them
        self.far: dict[int, Node] = {}  # entries that came out of order
        self.at = self.stop = 0
        self.nested = False  # whether this is a file inside a byte string of another one
        self.persistent: Callable[[Node], Node] | None = None
        self.nodes_left = self.keys_left = 0
        self.bytes_left = 2 * self.end + SPARE_NBYTES
        self.pending: dict[int, tuple[Record, int, Finish]] = {}
        self.dtypes: dict[int, tuple[Atom, object]] = {}  # numpy's facts beside their atoms
        self.raw_strings: dict[int, tuple[str, bytes]] = {}  # of Python 2, where decoding loses
        self.storages: list[StorageNode] = []  # one entry for each time that one was pushed
        self.dropped: list[Node] = []  # popped, kept only while a watched name must be found

    def set_budget(self, file_nbytes: int) -> None:
        """Allow as many nodes as a file of this size may have."""
        self.nodes_left = self.limits.max_nodes(max(file_nbytes, self.end))
        self.keys_left = self.nodes_left

    def __str__(self) -> str:
        return f"{self.stream}, byte {self.at}"

    def refuse(
        self, seen: str, expected: str = "", kind: type[ContainerError] | None = None
    ) -> NoReturn:
        """Give up on the stream, at the opcode that is being read."""
        raise (kind or PickleStreamError)(
            str(self), seen, expected, "the file is damaged or was made to mislead"
        )

    def refuse_short(self, what: str) -> NoReturn:
        """Give up because the data ends inside ``what``."""
        raise TruncatedFileError(
            str(self), f"the stream ends inside {what}",
            f"more than {self.end} bytes", "the copy was cut short: fetch it again",
        )  # fmt: skip

    def spend(self, n_nodes: int = 1) -> None:
        """Take nodes from the budget."""
        self.nodes_left -= n_nodes
        if self.nodes_left < 0:
            raise LimitExceededError(
                str(self), "more objects than a file of this size may hold",
                "at most base_nodes + size / nbytes_per_node", "raise --limit base_nodes=N",
            )  # fmt: skip

    def charge(self, nbytes: int) -> None:
        """Take from the bytes that calls may make of texts: one text can be encoded often."""
        self.bytes_left -= nbytes
        if self.bytes_left < 0:
            raise LimitExceededError(
                str(self), "calls that make more bytes than the file has", "twice its size at most"
            )

    def recall(self, index: int) -> Node:
        """The memo entry ``index``."""
        if 0 <= index < len(self.memo):
            return self.memo[index]
        if index in self.far:
            return self.far[index]
        return self.refuse(f"memo entry {index:#x} is used before it is set")

    def remember(self, index: int, value: Node) -> None:
        """Set the memo entry ``index``."""
        memo = self.memo
        if index < len(memo):
            memo[index] = value
        elif index == len(memo):
            memo.append(value)
            self.far.pop(index, None)
        else:
            if index not in self.far:
                self.spend(FAR_MEMO_ENTRY_NODES)
            self.far[index] = value

    def pop_mark(self) -> list[Node]:
        """Everything above the last MARK, which is taken away."""
        items = self.stack
        self.stack = self.meta.pop()
        return items

    def set_pair(self, node: MapNode, key: Node, value: Node) -> None:
        """Put a pair whose key is not a plain string into a mapping."""
        self.check_key(key)
        try:
            node[key] = value
        except TypeError as exc:
            self.refuse(f"a mapping key that cannot be one: {exc}", "a hashable key")

    def check_key(self, key: Node) -> None:
        """Bound the work of hashing ``key`` before anybody hashes it.

        Raises: LimitExceededError for a key of more than ``max_key_nodes`` nodes, or when all
        keys together cost more than the file may ask for.
        """
        kind = type(key)
        if (
            kind is bool
            or key is None
            or kind is float
            or (kind is int and -(1 << 63) <= key < 1 << 64)
        ):
            return
        cost = _key_cost(key, self.limits.max_key_nodes)
        self.keys_left -= max(0, cost - CHEAP_KEY_NODES)
        if cost > self.limits.max_key_nodes or self.keys_left < 0:
            raise LimitExceededError(
                str(self), "a mapping key or set member of too many parts",
                f"at most {self.limits.max_key_nodes}", "raise --limit max_key_nodes=N",
            )  # fmt: skip

    def defer(self, record: Record, pos: int, finish: Finish) -> None:
        """Let the BUILD that follows replace ``record``, on the stack and in its memo entry.

        The memo index is read ahead: a pickler numbers an object right after its REDUCE.
        """
        index, data = -1, self.data
        code = data[pos] if pos < self.end else 0
        if code == 0x71 and pos + 1 < self.end:  # BINPUT
            index = data[pos + 1]
        elif code == 0x72 and pos + 4 < self.end:  # LONG_BINPUT
            index = int.from_bytes(data[pos + 1 : pos + 5], "little")
        elif code == 0x94:  # MEMOIZE
            index = len(self.memo) + len(self.far)
        elif code == 0x70:  # PUT
            text = data[pos + 1 : pos + 20].split(b"\n")[0]
            index = int(text) if text.isdigit() else -1
        self.pending[id(record)] = (record, index, finish)

    def complete(self, record: Record, state: Node) -> Node:
        """What a deferred ``record`` becomes with the state that BUILD gives it."""
        _, index, finish = self.pending.pop(id(record))
        node = finish(self, record, state)
        if node is not record and index >= 0:
            if index < len(self.memo) and self.memo[index] is record:
                self.memo[index] = node
            elif self.far.get(index) is record:
                self.far[index] = node
        return node


def _key_cost(key: Node, limit: int) -> int:
    """How many parts hashing ``key`` visits, counted no further than just beyond ``limit``."""
    cost, seen, todo = 0, set(), [key]
    while todo and cost <= limit:
        node = todo.pop()
        cost += 1
        kind = type(node)
        if kind is int:
            cost += node.bit_length() >> 9
        elif kind is str or kind is bytes:
            cost += len(node) >> 9
        elif id(node) not in seen:
            seen.add(id(node))
            if isinstance(node, SeqNode):
                if node.digest is None:  # else hashing it again takes one look
                    todo.extend(node.items[: limit + 1])
            elif isinstance(node, (Atom, Record)):
                todo.extend(node.args[: limit + 1])
    return cost

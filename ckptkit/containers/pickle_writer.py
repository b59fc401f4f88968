"""A tree as a pickle that ``torch.load(weights_only=True)`` opens: protocol 2, written by hand.

No class is named but those that torch allows by default, and no opcode used but those that its
restricted unpickler knows. Source: torch/_weights_only_unpickler.py; PEP 307.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from ckptkit.containers.storage_node import STORAGE_STEMS
from ckptkit.errors import UnrepresentableError
from ckptkit.nodes import Atom, MapNode, Node, SeqNode, TensorNode
from ckptkit.types import DType

LOCATION = "cpu"  # whoever loads it says where it goes
MAX_INT_NBYTES = 255  # the longest integer that LONG1 can write
_STORAGES = {name: f"{stem}Storage" for stem, name in STORAGE_STEMS.items()}
_UNTYPED = b"ctorch.storage\nUntypedStorage\n"
_EMPTY_ORDERED = b"ccollections\nOrderedDict\n)R"
_WORD = re.compile(r"[a-z][a-z0-9_]{0,40}")
_EMPTY_MAPS = {
    "dict": b"}", "OrderedDict": _EMPTY_ORDERED, "Counter": b"ccollections\nCounter\n)R",
}  # fmt: skip
_TUPLE_ENDS = {1: b"\x85", 2: b"\x86", 3: b"\x87"}


class Pickled(NamedTuple):
    """The stream, and a tensor for each storage that it names: key "0" is the first.

    Each storage holds the contiguous little-endian bytes of its tensor and nothing else; ties
    share one.
    """

    data: bytes
    tensors: list[TensorNode]


class _Raw(NamedTuple):
    """Bytes that are written as they are, once their turn comes."""

    code: bytes


class _Put(NamedTuple):
    """The moment at which what lies on the stack is remembered as ``node``."""

    node: Node


def dump_pickle(root: Node) -> Pickled:
    """Write ``root``; aliases, cycles and ties come back as they were, no depth is too deep.

    Raises: UnrepresentableError for what torch's restricted unpickler would refuse.
    """
    return _Writer().run(root)


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray(b"\x80\x02")
        self.texts: dict[str, int] = {}
        self.nodes: dict[int, int] = {}
        self.open_ids: set[int] = set()
        self.n_memo = 0
        self.keys: dict[object, int] = {}
        self.tensors: list[TensorNode] = []
        self.todo: list[Node] = []

    def run(self, root: Node) -> Pickled:
        """Write node by node; what is still to be written lies on a stack, last first."""
        todo = self.todo
        todo.append(root)
        while todo:
            node = todo.pop()
            kind = type(node)
            if kind is _Raw:
                self.out += node.code
            elif kind is _Put:
                self.open_ids.discard(id(node.node))
                self._put(self.nodes, id(node.node))
            elif kind is str:
                self._text(node)
            elif node is None or kind in (bool, int, float, complex, bytes):
                self._scalar(node)
            elif id(node) in self.nodes:
                self._get(self.nodes[id(node)])
            else:
                self._compound(node)
        self.out += b"."
        return Pickled(bytes(self.out), self.tensors)

    def _push(self, *tasks: Node) -> None:
        self.todo.extend(reversed(tasks))

    def _put(self, memo: dict[int, int] | dict[str, int], key: int | str) -> None:
        number = self.n_memo
        memo[key] = number  # type: ignore[index]
        self.n_memo += 1
        self.out += b"q%c" % number if number < 256 else b"r" + struct.pack("<I", number)

    def _get(self, number: int) -> None:
        self.out += b"h%c" % number if number < 256 else b"j" + struct.pack("<I", number)

    def _text(self, text: str) -> None:
        known = self.texts.get(text)
        if known is not None:
            self._get(known)
            return
        data = text.encode("utf-8", "surrogatepass")
        self.out += b"X" + struct.pack("<I", len(data)) + data
        self._put(self.texts, text)

    def _scalar(self, value: Node) -> None:
        if value is None or value is True or value is False:
            self.out += {None: b"N", True: b"\x88", False: b"\x89"}[value]
        elif type(value) is int:
            self.out += _integer(value)
        elif type(value) is float:
            self.out += b"G" + struct.pack(">d", value)
        elif type(value) is complex:
            self.out += b"c__builtin__\ncomplex\n"
            self._push(value.real, value.imag, _Raw(b"\x86R"))
        else:
            self.out += b"c_codecs\nencode\n"
            self._push(value.decode("latin-1"), "latin1", _Raw(b"\x86R"))

    def _compound(self, node: Node) -> None:
        if isinstance(node, MapNode):
            self._map(node)
        elif isinstance(node, SeqNode):
            self._sequence(node)
        elif isinstance(node, Atom):
            self._atom(node)
        elif isinstance(node, TensorNode):
            self._tensor(node)
        else:
            raise _refused(node)

    def _map(self, node: MapNode) -> None:
        pairs = [part for pair in node.items() for part in pair]
        filled: list[Node] = [_Raw(b"("), *pairs, _Raw(b"u")] if pairs else []
        empty = _EMPTY_MAPS.get(node.kind)
        if empty is None or (node.attrs is not None and node.kind != "OrderedDict"):
            raise _refused(node)
        self.out += empty
        self._put(self.nodes, id(node))
        attrs: list[Node] = [] if node.attrs is None else [node.attrs, _Raw(b"b")]
        self._push(*filled, *attrs)

    def _sequence(self, node: SeqNode) -> None:
        items = node.items
        if node.kind == "list":
            self.out += b"]"
            self._put(self.nodes, id(node))
            if items:
                self._push(_Raw(b"("), *items, _Raw(b"e"))
            return
        if node.kind not in ("tuple", "torch.Size", "set") or id(node) in self.open_ids:
            raise _refused(node)  # a tuple inside itself, too
        self.open_ids.add(id(node))
        if node.kind == "set":
            self.out += b"c__builtin__\nset\n]"
            self._push(_Raw(b"("), *items, _Raw(b"e\x85R"), _Put(node))
            return
        self.out += b"ctorch\nSize\n" if node.kind == "torch.Size" else b""
        end = _Raw(b"\x85R") if node.kind == "torch.Size" else _Raw(b"")
        self._push(*_tuple(items), end, _Put(node))

    def _atom(self, node: Atom) -> None:
        if node.kind in ("torch.dtype", "torch.qscheme"):
            word = str(node.args[0])
            if not _WORD.fullmatch(word):
                raise _refused(node)  # a newline in it would be an opcode behind it
            self.out += b"ctorch\n%s\n" % word.encode("ascii")
        elif node.kind == "torch.device":
            self.out += b"ctorch\ndevice\n"
            self._push(*_tuple(node.args), _Raw(b"R"))
        elif node.kind == "bytearray":
            self.out += b"c__builtin__\nbytearray\n"
            text = node.args[0].decode("latin-1")
            self._push(text, "latin-1", _Raw(b"\x86R"))
        else:
            raise _refused(node)

    # -- tensors --------------------------------------------------------------------------------

    def _tensor(self, node: TensorNode) -> None:
        if node.flavour == "parameter":
            self.out += b"ctorch._utils\n_rebuild_parameter\n("
            tail: list[Node] = [node.requires_grad, _Raw(_EMPTY_ORDERED + b"tR")]
        else:
            tail = []
        self._push(*self._plain_tensor(node), *tail, _Put(node))

    def _plain_tensor(self, node: TensorNode) -> list[Node]:
        size = [*_tuple(node.shape), *_tuple(node.strides)]
        grad = node.requires_grad and node.flavour != "parameter"
        if node.flavour == "meta":
            head = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n("
            return [_Raw(head + _dtype(node.dtype)), *size, grad, _Raw(b"tR")]
        storage = self._storage(node)
        if node.dtype.kind == "q":
            quantizer = node.extra.get("quantizer") if node.extra is not None else None
            if quantizer is None:
                raise _refused(node)
            head = b"ctorch._utils\n_rebuild_qtensor\n("
            return [_Raw(head), *storage, 0, *size, quantizer, grad, _Raw(_EMPTY_ORDERED + b"tR")]
        version, dtype = (b"2", b"") if node.dtype.name in _STORAGES else (b"3", _dtype(node.dtype))
        head = b"ctorch._utils\n_rebuild_tensor_v%s\n(" % version
        return [_Raw(head), *storage, 0, *size, grad, _Raw(_EMPTY_ORDERED + dtype + b"tR")]

    def _storage(self, node: TensorNode) -> list[Node]:
        view = node.same_view()
        key = self.keys.setdefault(view, len(self.tensors))
        if key == len(self.tensors):
            self.tensors.append(node)
        name = _STORAGES.get(node.dtype.name)
        kind = b"ctorch\n%s\n" % name.encode() if name else _UNTYPED
        length = node.numel if name else node.nbytes
        return [_Raw(b"("), "storage", _Raw(kind), str(key), LOCATION, length, _Raw(b"tQ")]


def _tuple(items: tuple[Node, ...] | list[Node]) -> list[Node]:
    if not items:
        return [_Raw(b")")]
    if len(items) in _TUPLE_ENDS:
        return [*items, _Raw(_TUPLE_ENDS[len(items)])]
    return [_Raw(b"("), *items, _Raw(b"t")]


def _dtype(dtype: DType) -> bytes:
    return b"ctorch\n%s\n" % dtype.name.encode("ascii")


def _integer(value: int) -> bytes:
    if 0 <= value < 1 << 8:
        return b"K%c" % value
    if 0 <= value < 1 << 16:
        return b"M" + struct.pack("<H", value)
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    nbytes = value.bit_length() // 8 + 1
    if nbytes > MAX_INT_NBYTES:
        raise UnrepresentableError("pickle", f"an integer of {nbytes} bytes", "at most 255 bytes")
    return b"\x8a%c" % nbytes + value.to_bytes(nbytes, "little", signed=True)


def _refused(node: Node) -> UnrepresentableError:
    return UnrepresentableError(
        "pickle", repr(node)[:200], "what torch.load(weights_only=True) opens",
        "turn it into plain data, or leave it out",
    )  # fmt: skip

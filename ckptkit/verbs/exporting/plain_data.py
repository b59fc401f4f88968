"""A tree in the types that ``torch.load(weights_only=True)`` allows; all others are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ckptkit.containers.logical import logical_source
from ckptkit.containers.pickle_writer import MAX_INT_NBYTES
from ckptkit.errors import UnrepresentableError
from ckptkit.nodes import Atom, MapNode, Node, Path, Record, SeqNode, Storage, TensorNode, key_token
from ckptkit.tree import path_text, to_python
from ckptkit.tree.numbers import number_of
from ckptkit.types import DTYPES, Notice, contiguous_strides
from ckptkit.verbs.exporting.values import LeftOut
from ckptkit.verbs.outline import describe

_DTYPES = frozenset(name for name in DTYPES if not name.startswith("bits"))
_DEVICES = ("cpu", "cuda", "mps", "xpu", "meta", "mkldnn", "xla", "hpu")
_TEXT_ATOMS = ("date", "datetime", "time", "decimal", "uuid")
_NAMESPACES = ("argparse.Namespace", "types.SimpleNamespace")
_SEQUENCES = {"frozenset": "set", "deque": "list"}
_NOTHING = object()


class PlainData:
    """Rebuilds a tree; ``left_out`` has what found no place, ``changes`` what became plainer."""

    def __init__(self) -> None:
        self.left_out: list[LeftOut] = []
        self.changes: dict[str, list[str]] = {}
        self._made: dict[int, Node] = {}
        self._views: dict[object, Storage] = {}
        self._work: list[Callable[[], None]] = []

    def rebuild(self, root: Node) -> Node:
        """Return the same tree in plain types: aliases stay, no depth is too deep."""
        made = self._node(root, ())
        while self._work:
            self._work.pop()()
        return None if made is _NOTHING else made

    def notices(self) -> list[Notice]:
        """What is to be said of it."""
        told = []
        for what, places in self.changes.items():
            where = places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1:,} more"
            told.append(Notice("info", "became-plain", what, where))
        if self.left_out:
            first = self.left_out[0]
            count = len(self.left_out)
            what = "1 value is" if count == 1 else f"{count:,} values are"
            message = f"{what} left out, because torch.load(weights_only=True) refuses it"
            where = f"{first.place}: {first.what}" + (" and others" if count > 1 else "")
            told.append(Notice("warning", "left-out", message, where))
        return told

    def _node(self, node: Node, path: Path) -> Node:
        kind = type(node)
        if kind is int:
            too_long = node.bit_length() // 8 + 1 > MAX_INT_NBYTES
            return self._leave(node, path) if too_long else node
        if node is None or kind in (bool, float, complex, str, bytes):
            return node
        if id(node) in self._made:
            return self._made[id(node)]
        made = self._rebuilt(node, path)
        self._made[id(node)] = made
        return made

    def _rebuilt(self, node: Node, path: Path) -> Node:
        if isinstance(node, TensorNode):
            return self._tensor(node, path)
        if isinstance(node, MapNode):
            return self._map(node, path)
        if isinstance(node, SeqNode):
            return self._sequence(node, path)
        if isinstance(node, Atom):
            return self._atom(node, path)
        if _is_namespace(node):
            self._change("a namespace became a dict", path)
            return self._node(node.state, path)
        return self._leave(node, path)

    def _leave(self, node: Node, path: Path) -> Node:
        self.left_out.append(LeftOut(path_text(path), describe(node)[1]))
        return _NOTHING

    def _change(self, what: str, path: Path) -> None:
        self.changes.setdefault(what, []).append(path_text(path))

    def _map(self, node: MapNode, path: Path) -> MapNode:
        kind = "dict" if node.kind == "defaultdict" else node.kind
        if kind != node.kind:
            self._change("a defaultdict became a dict", path)
        made = MapNode(kind=kind)

        def fill() -> None:
            for key, value in node.items():
                plain_key = self._key(key, (*path, key))
                plain = _NOTHING if plain_key is _NOTHING else self._node(value, (*path, key))
                if plain is not _NOTHING:
                    made[plain_key] = plain
            if node.attrs is not None and kind == "OrderedDict":
                made.attrs = self._node(node.attrs, path)
            elif node.attrs is not None:
                self._change("attributes of a mapping are left out", path)

        self._work.append(fill)
        return made

    def _key(self, key: Node, path: Path) -> Node:
        """A key of scalars alone; any other takes its value along."""
        if key is None or type(key) in (bool, int, float, str, bytes):
            return self._node(key, path)
        is_tuple = type(key) is SeqNode and key.kind == "tuple"
        if is_tuple and all(type(item) in (int, float, str, bool) for item in key.items):
            return key
        return self._leave(key, path)

    def _sequence(self, node: SeqNode, path: Path) -> Node:
        kind = _SEQUENCES.get(node.kind, node.kind)
        if kind == "torch.Size" and any(type(item) is not int for item in node.items):
            kind = "tuple"
        if kind != node.kind:
            self._change(f"a {node.kind} became a {kind}", path)
        made = SeqNode([], kind)
        members: dict[Any, Node] = {}

        def fill() -> None:
            for index, item in enumerate(node.items):
                plain = self._node(item, (*path, index))
                if kind == "set" and not _is_hashable(plain):
                    plain = self._leave(item, (*path, index)) if plain is not _NOTHING else plain
                if kind == "set" and plain is not _NOTHING:
                    members.setdefault(key_token(plain), plain)
                elif plain is not _NOTHING:
                    made.items.append(plain)
                elif kind != "set":
                    made.items.append(None)  # the others keep their places
            made.items.extend(members.values())

        self._work.append(fill)
        return made

    def _atom(self, node: Atom, path: Path) -> Node:
        if _is_kept(node):
            return node
        number = number_of(node)
        if number is not None:
            self._change("a numpy number became Python's", path)
            return number
        text = _text_of(node)
        if text is None:
            return self._leave(node, path)
        self._change(f"a {node.kind} became text", path)
        return text

    def _tensor(self, node: TensorNode, path: Path) -> Node:
        """The tensor alone on its own bytes; ties share theirs."""
        quantizer = node.extra.get("quantizer") if node.extra is not None else None
        if node.numpy_dtype or (node.dtype.kind == "q" and not _is_quantizer(quantizer)):
            return self._leave(node, path)
        flavour = "tensor" if node.flavour == "ndarray" else node.flavour
        if flavour != node.flavour:
            self._change("a numpy array became a tensor", path)
        extra = None
        if quantizer is not None and node.dtype.kind == "q":
            extra = MapNode({"quantizer": self._quantizer(quantizer, path)})
        elif node.extra is not None:
            self._change("hooks or attributes of a tensor are left out", path)
        storage = self._views.get(node.same_view())
        if storage is None:
            source = None if flavour == "meta" else logical_source(node)
            storage = Storage(node.storage.key, 0 if source is None else source.nbytes, source)
            self._views[node.same_view()] = storage
        return TensorNode(
            dtype=node.dtype, shape=node.shape, strides=contiguous_strides(node.shape), offset=0,
            storage=storage, flavour=flavour,
            requires_grad=node.requires_grad and node.dtype.kind in "fc", extra=extra,
        )  # fmt: skip

    def _quantizer(self, node: SeqNode, path: Path) -> Node:
        """Scheme, scales and zero points as they are, their tensors on bytes of their own."""
        items = [
            self._tensor(item, path) if isinstance(item, TensorNode) else item
            for item in node.items
        ]
        return SeqNode(items, node.kind)


def _is_kept(atom: Atom) -> bool:
    """Whether torch's unpickler makes it: a hostile file may have put anything into an atom."""
    if atom.kind == "torch.dtype":
        return len(atom.args) == 1 and atom.args[0] in _DTYPES
    if atom.kind == "bytearray":
        return len(atom.args) == 1 and type(atom.args[0]) is bytes
    if atom.kind != "torch.device" or len(atom.args) not in (1, 2):
        return False
    return atom.args[0] in _DEVICES and all(
        type(index) is int and 0 <= index < 128 for index in atom.args[1:]
    )


def _is_quantizer(node: Node) -> bool:
    """A scheme, then numbers and tensors: what torch's own rebuilder takes."""
    if not isinstance(node, SeqNode) or not node.items or node.kind != "tuple":
        return False
    scheme, *rest = node.items
    return (
        isinstance(scheme, Atom)
        and scheme.kind == "torch.qscheme"
        and all(
            type(part) in (int, float)
            or (isinstance(part, TensorNode) and part.dtype.kind in "fi" and not part.numpy_dtype)
            for part in rest
        )
    )


def _is_namespace(node: Node) -> bool:
    if not isinstance(node, Record) or node.name.text not in _NAMESPACES:
        return False
    return isinstance(node.state, MapNode) and len(node.states or ()) == 1


def _text_of(node: Atom) -> str | None:
    """A value of the standard library as people write it; None for one that has no such form."""
    if node.kind.endswith("Path"):
        return node.args[0] if type(node.args[0]) is str else None
    if node.kind not in _TEXT_ATOMS:
        return None
    try:
        value: Any = to_python(node)
    except UnrepresentableError:
        return None
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _is_hashable(node: Node) -> bool:
    return node is None or type(node) in (bool, int, float, complex, str, bytes)

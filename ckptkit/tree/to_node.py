"""Live Python values into nodes. What is no data is refused, with its place.

Source: docs/format.md sections "Atoms" and "Records".
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from ckptkit.errors import UnrepresentableError
from ckptkit.nodes import (
    Atom,
    BlobNode,
    GlobalName,
    MapNode,
    Node,
    Path,
    Record,
    SeqNode,
    TensorNode,
    structural_key,
)
from ckptkit.tree.atoms import describe
from ckptkit.tree.numpy_atoms import describe_numpy, loaded_numpy
from ckptkit.tree.parts import SCALARS
from ckptkit.tree.paths import path_text
from ckptkit.tree.records import Sketch, sketch

TensorToNode = Callable[[Any], Node]
_INERT = frozenset({GlobalName, MapNode, SeqNode, Record, Atom, TensorNode, BlobNode})
_MAPS = {dict: "dict", OrderedDict: "OrderedDict", defaultdict: "defaultdict", Counter: "Counter"}
_SEQS = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset", deque: "deque"}
_FACTORIES = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)


def to_node(value: Any, tensor: TensorToNode | None = None) -> Node:
    """Return ``value`` as nodes; aliases and cycles are kept, no depth is too deep.

    ``tensor`` is called for every torch tensor and numpy array and returns its node. Nodes that
    are inside ``value`` already stay themselves.
    Raises: UnrepresentableError, with the place, for what is no data.
    """
    return _Converter(tensor).run(value)


class Place(NamedTuple):
    """A path, last step first: shells below many levels share the steps above them."""

    parent: Place | None
    sub: Path

    def path(self) -> Path:
        """Return the path from the root."""
        subs: list[Path] = []
        place: Place | None = self
        while place is not None:
            subs.append(place.sub)
            place = place.parent
        return tuple(key for sub in reversed(subs) for key in sub)


class _Converter:
    def __init__(self, tensor: TensorToNode | None) -> None:
        self.tensor = tensor
        self.nodes: dict[int, Node] = {}
        self.alive: list[Any] = []  # an id is only good while its object lives
        self.work: list[Callable[[], None]] = []
        self.sets: list[SeqNode] = []
        self.odd_maps: list[tuple[MapNode, list[tuple[Node, Node]]]] = []

    def run(self, value: Any) -> Node:
        """Make a shell for every value, fill the shells one by one, hash odd keys at the end."""
        root = self.convert(value, None, ())
        while self.work:
            self.work.pop()()
        for members in self.sets:
            members.items = _in_order(members.items)
        for node, pairs in self.odd_maps:
            for key, child in pairs:
                node[key] = child
        return root

    def convert(self, value: Any, parent: Place | None, sub: Path) -> Node:
        """Return the node of ``value``, perhaps still empty."""
        kind = type(value)
        if kind in SCALARS or kind in _INERT:
            return value
        node = self.nodes.get(id(value))
        if node is None:
            node = self._shell(value, kind, Place(parent, sub))
            self.nodes[id(value)] = node
            self.alive.append(value)
        return node

    def _later(self, fill: Callable[[], None]) -> None:
        self.work.append(fill)

    def _shell(self, value: Any, kind: type, place: Place) -> Node:
        if kind in _MAPS:
            return self._map(value, _MAPS[kind], place)
        if kind in _SEQS:
            return self._seq(value, _SEQS[kind], place)
        tensor = self._tensor(value, place)
        if tensor is not None:
            return tensor
        try:
            described = describe_numpy(value) or describe(value)
        except ValueError as exc:
            self._refuse(value, place, str(exc))
        if described is not None:
            return self._atom(*described, place)
        torch = sys.modules.get("torch")
        if torch is not None and kind is torch.Size:
            return self._seq(value, "torch.Size", place)
        sketched = sketch(value)
        if sketched is None:
            self._refuse(value, place)
        return self._record(sketched, place)

    def _tensor(self, value: Any, place: Place) -> Node | None:
        numpy, torch = loaded_numpy(), sys.modules.get("torch")
        is_array = numpy is not None and isinstance(value, numpy.ndarray)
        if is_array or (torch is not None and isinstance(value, torch.Tensor)):
            if self.tensor is None or (is_array and value.dtype.hasobject):
                self._refuse(value, place)
            try:
                return self.tensor(value)
            except UnrepresentableError as exc:
                if exc.where:
                    raise
                where = path_text(place.path())  # the callback knows the tensor, not its place
                raise UnrepresentableError(where, exc.seen, exc.expected, exc.advice) from exc
        return None

    def _refuse(self, value: Any, place: Place, why: str = "") -> NoReturn:
        kind = type(value)
        seen = why or f"a {kind.__module__}.{kind.__qualname__}"
        raise UnrepresentableError(
            path_text(place.path()), seen, "data: numbers, text, tensors, and containers of them",
            "store its parameters as plain data (a state_dict), or leave it out",
        )  # fmt: skip

    def _map(self, value: dict[Any, Any], kind: str, place: Place) -> MapNode:
        node = MapNode(kind=kind)

        def fill() -> None:
            if isinstance(value, defaultdict) and value.default_factory is not None:
                node.factory = self._factory(value.default_factory, place)
            attrs = getattr(value, "__dict__", None)
            if attrs:
                node.attrs = self.convert(attrs, place, (".attrs",))
            self._fill_pairs(node, value, place)

        self._later(fill)
        return node

    def _fill_pairs(self, node: MapNode, value: dict[Any, Any], place: Place) -> None:
        odd = []
        for index, (key, child) in enumerate(value.items()):
            if type(key) is str:
                node[key] = self.convert(child, place, (key,))
            else:
                key_node = self.convert(key, place, (".keys", index))
                odd.append((key_node, self.convert(child, place, (key_node,))))
        if len(odd) == len(value):
            self.odd_maps.append((node, odd))
        elif odd:  # mixed with strings: put everything in again, in order
            self._fill_mixed(node, value, odd)

    def _fill_mixed(
        self, node: MapNode, value: dict[Any, Any], odd: list[tuple[Node, Node]]
    ) -> None:
        rest = iter(odd)
        pairs = [(key, node[key]) if type(key) is str else next(rest) for key in value]
        node.__init__(kind=node.kind, attrs=node.attrs)  # type: ignore[misc]
        self.odd_maps.append((node, pairs))

    def _factory(self, factory: Any, place: Place) -> GlobalName:
        if factory not in _FACTORIES:
            self._refuse(
                factory, Place(place, (".factory",)), f"a defaultdict that makes {factory!r:.80}"
            )
        return GlobalName("builtins", factory.__name__)

    def _seq(self, value: Iterable[Any], kind: str, place: Place) -> SeqNode:
        node = SeqNode([], kind)
        if isinstance(value, deque) and value.maxlen is not None:
            node.attrs = MapNode({"maxlen": value.maxlen})
        if kind in ("set", "frozenset"):
            self.sets.append(node)

        def fill() -> None:
            convert = self.convert
            node.items = [convert(item, place, (i,)) for i, item in enumerate(value)]

        self._later(fill)
        return node

    def _atom(self, kind: str, args: tuple[Any, ...], place: Place) -> Atom:
        node = Atom(kind, ())

        def fill() -> None:
            node.args = tuple(self.convert(arg, place, (".args", i)) for i, arg in enumerate(args))

        self._later(fill)
        return node

    def _record(self, made: Sketch, place: Place) -> Record:
        node = Record(made.name, made.how)

        def fill() -> None:
            convert = self.convert
            node.args = tuple(convert(arg, place, (".args", i)) for i, arg in enumerate(made.args))
            if made.kwargs is not None:
                node.kwargs = convert(made.kwargs, place, (".kwargs",))
            if made.state is not None:
                node.states = [convert(made.state, place, (".state",))]
            if made.items is not None:
                node.items = [convert(x, place, (".items", i)) for i, x in enumerate(made.items)]
            if made.entries is not None:
                node.entries = convert(made.entries, place, (".entries",))

        self.alive.append(made)
        self._later(fill)
        return node


def _in_order(items: list[Node]) -> list[Node]:
    """Order the members of a set: Python's own order differs from run to run."""
    if len(set(map(type, items))) == 1 and type(items[0]) in (str, int, bytes):
        return sorted(items)
    try:
        return sorted(items, key=structural_key)
    except TypeError:  # a member that only its own class can hash
        return items

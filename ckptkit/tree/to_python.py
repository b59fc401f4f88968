"""Nodes into live Python values, for the kinds that are known; nothing foreign is constructed.

Source: docs/format.md sections "Atoms" and "Records".
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from importlib import import_module
from sys import intern
from typing import Any, NoReturn

from ckptkit.errors import LimitExceededError, UnrepresentableError
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode, TensorNode
from ckptkit.tree.atoms import rebuild
from ckptkit.tree.parts import parts
from ckptkit.tree.paths import path_text
from ckptkit.tree.walk import walk

TensorFromNode = Callable[[TensorNode], Any]
RecordFromNode = Callable[[Record], Any]
_MUTABLE_SEQS: dict[str, type] = {"list": list, "set": set}
_FROZEN_SEQS = ("tuple", "frozenset", "torch.Size")
_FACTORIES: dict[str, type] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
}
_MAX_EQUAL_HASHES = 1_000  # honest keys share a hash by chance, not by the thousand


def to_python(
    node: Node, tensor: TensorFromNode | None = None, record: RecordFromNode | None = None
) -> Any:
    """Return the live value of ``node``, with the exact types, aliases and cycles that it had.

    ``tensor`` makes the live tensor of a node; without it TensorNodes stay. Records, names and
    blobs stay nodes, with all that is in them: a foreign class is never constructed. ``record``
    may know better for a few (a sparse tensor); it returns the record itself for all others.
    Raises: UnrepresentableError, with the place, for what Python cannot hold (an unhashable key,
    a tuple inside itself, an unknown atom); MissingExtraError without torch or numpy.
    """
    return _Maker(node, tensor, record).run()


class _Maker:
    """First empty shells of everything mutable, then what is frozen, then the shells' content."""

    def __init__(
        self, root: Node, tensor: TensorFromNode | None, record: RecordFromNode | None = None
    ) -> None:
        self.root, self.tensor, self.record = root, tensor, record
        self.made: dict[int, Any] = {}
        self.frozen: list[Node] = []
        self.shells: list[Node] = []

    def run(self) -> Any:
        """Make the whole tree."""
        self._discover()
        for node in self.frozen:
            self._freeze(node)
        for node in self.shells:
            self._fill(node)
        return self._value(self.root)

    def _value(self, node: Node) -> Any:
        return self.made.get(id(node), node) if type(node) in _MADE else node

    def _discover(self) -> None:
        met: set[int] = set()
        stack = [self.root]
        while stack:
            node = stack.pop()
            if type(node) not in _MADE or id(node) in met:
                continue
            met.add(id(node))
            if type(node) is TensorNode:
                self.made[id(node)] = node if self.tensor is None else self.tensor(node)
                continue
            if type(node) is Record:
                self.made[id(node)] = node if self.record is None else self.record(node)
                continue
            if type(node) is Atom or node.kind in _FROZEN_SEQS:
                self.frozen.append(node)
            else:
                self.made[id(node)] = self._shell(node)
                self.shells.append(node)
            stack.extend(child for _, child in parts(node))

    def _shell(self, node: MapNode | SeqNode) -> Any:
        if type(node) is SeqNode and node.kind == "deque":
            maxlen = None if node.attrs is None else node.attrs.get("maxlen")
            if maxlen is not None and (type(maxlen) is not int or maxlen < len(node.items)):
                self._refuse(node, "a deque longer than it may be")
            return deque(maxlen=maxlen)
        if type(node) is SeqNode:
            return _MUTABLE_SEQS[node.kind]()
        if node.kind == "defaultdict":
            return defaultdict(self._factory(node))
        return {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}[node.kind]()

    def _factory(self, node: Any) -> Any:
        name = node.factory
        if name is None:
            return None
        known = type(name) is GlobalName and name.module in ("builtins", "__builtin__")
        factory = _FACTORIES.get(name.qualname) if known else None
        if factory is None:
            self._refuse(node, "a defaultdict whose factory is no builtin type")
        return factory

    def _freeze(self, root: Node) -> None:
        """Make a frozen value after all the frozen values inside it."""
        stack, opened = [(root, False)], set()
        while stack:
            node, ready = stack.pop()
            if id(node) in self.made:
                continue
            if ready:
                self.made[id(node)] = self._freeze_one(node)
                continue
            if id(node) in opened:
                self._refuse(node, "a frozen value inside itself")
            opened.add(id(node))
            stack.append((node, True))
            children = (child for _, child in parts(node))
            stack.extend(
                (child, False)
                for child in children
                if type(child) in (Atom, SeqNode) and id(child) not in self.made
            )

    def _freeze_one(self, node: Any) -> Any:
        children = node.args if type(node) is Atom else node.items
        values = [self._value(child) for child in children]
        try:
            if type(node) is Atom:
                return rebuild(node.kind, tuple(values))
            if node.kind == "tuple":
                return tuple(values)
            if node.kind == "frozenset":
                self._check_hashes(node, values)
                return frozenset(values)
            return import_module("torch").Size(values)
        except KeyError:
            self._refuse(node, f"an atom of the unknown kind {node.kind!a:.60}")
        except (TypeError, ValueError, ArithmeticError, LookupError, ImportError) as exc:
            self._refuse(node, f"a {node.kind} of parts that do not fit ({exc!s:.120})")

    def _fill(self, node: Any) -> None:
        shell = self.made[id(node)]
        if type(node) is SeqNode:
            values = [self._value(item) for item in node.items]
            if type(shell) is set:
                self._check_hashes(node, values)
                shell.update(values)
            else:
                shell.extend(values)
            return
        pairs = [(_one_key(self._value(key)), self._value(value)) for key, value in node.items()]
        self._check_hashes(node, [key for key, _ in pairs])
        # An OrderedDict keeps its order apart from the dict; Counter's own update would add.
        base = OrderedDict if type(shell) is OrderedDict else dict
        base.update(shell, pairs)
        if len(shell) != len(pairs):
            self._refuse(node, "keys that are equal in Python")
        self._fill_attrs(node, shell)

    def _fill_attrs(self, node: MapNode, shell: Any) -> None:
        if node.attrs is None:
            return
        attrs = {self._value(key): self._value(value) for key, value in node.attrs.items()}
        if not hasattr(shell, "__dict__") or any(type(key) is not str for key in attrs):
            self._refuse(node, f"a {node.kind} with attributes")
        shell.__dict__.update(attrs)

    def _check_hashes(self, node: Node, keys: list[Any]) -> None:
        """Refuse what cannot be hashed, and keys made to collide, which would take for ever."""
        try:
            odd = [hash(key) for key in keys if type(key) is not str]
        except TypeError as exc:
            self._refuse(node, f"something that cannot be a key ({exc})")
        if len(odd) > _MAX_EQUAL_HASHES and Counter(odd).most_common(1)[0][1] > _MAX_EQUAL_HASHES:
            raise LimitExceededError(
                self._place(node), f"more than {_MAX_EQUAL_HASHES} keys of one hash"
            )

    def _refuse(self, node: Node, seen: str) -> NoReturn:
        raise UnrepresentableError(self._place(node), seen, "what Python can hold") from None

    def _place(self, node: Node) -> str:
        for path, found in walk(self.root):
            if found is node:
                return path_text(path)
        return "/"


def _one_key(key: Any) -> Any:
    """Return a key as the one object that code has for it.

    ``pickle`` writes equal keys once only where they are one object: so a state that was restored
    is pickled to the bytes that it would have had if it had never been saved.
    """
    return intern(key) if type(key) is str else key


_MADE = frozenset({MapNode, SeqNode, Atom, TensorNode, Record})

"""A reading in the making: subtrees are placed one by one, what is left goes to ``extra``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ckptkit.nodes import MapNode, Node, Path
from ckptkit.protocols import Move, Reading, SourceView
from ckptkit.tree import resolve
from ckptkit.tree.parts import ATTRS, parts
from ckptkit.types import Notice

_ABSENT = object()
_TAKEN = None  # a leaf of the tree of taken paths


def children(node: Node) -> Iterator[tuple[Path, Node]]:
    """Yield the direct children of a node, each with its path below it; keys are none."""
    for sub, below in parts(node):
        if sub is ATTRS:
            for name, value in below.items():
                yield (f".{name}",), value
        elif not (isinstance(node, MapNode) and len(sub) == 2):
            yield sub, below


def find(root: Node, path: Path, default: Node = None) -> Node:
    """The node at the end of a path, or ``default``."""
    try:
        return resolve(root, path)
    except KeyError:
        return default


class Draft:
    """Collects where the subtrees of one source go; ``reading`` closes it.

    ``take`` moves a subtree. ``show`` lets a part of something that stays whole elsewhere be
    seen under a second place (the epoch inside Lightning's loops): of two moves that cover a
    leaf, the one with the longer source tells where it is to be found.
    """

    def __init__(self, view: SourceView) -> None:
        self.root = view.root
        self.view = view
        self.document = MapNode()
        self.moves: list[Move] = []
        self.notices: list[Notice] = []
        self._ours = {id(self.document)}
        self._taken: dict[Any, Any] = {}

    def take(self, source: Path, target: Path, note: str = "") -> Node:
        """Move the subtree at ``source`` to ``target``, unchanged.

        Inside a subtree that was taken before, this is the same as ``show``.
        """
        node = resolve(self.root, source)
        self._mark(source)
        self._move(Move(source, target, None, note), node)
        return node

    def take_renamed(
        self, source: Path, target: Path, renamed: Mapping[str, str], note: str
    ) -> None:
        """Move a mapping whose direct children change their names as ``renamed`` says."""
        old = resolve(self.root, source)
        new = MapNode(((renamed.get(k, k), v) for k, v in old.items()), old.kind, old.attrs)
        new.factory = old.factory
        self._mark(source)
        self._move(Move(source, target, dict(renamed), note), new)

    def show(self, source: Path, target: Path, note: str = "") -> Node:
        """Let the subtree at ``source`` be seen at ``target`` too; it is still to be taken."""
        node = resolve(self.root, source)
        self._move(Move(source, target, None, note), node)
        return node

    def say(self, target: Path, value: Node) -> None:
        """Put in what the source does not say itself, but its dialect knows."""
        if isinstance(value, MapNode):
            self._ours.add(id(value))
        self._put(target, value)

    def notice(self, level: str, code: str, message: str, where: str = "") -> None:
        """Add a notice to the report."""
        self.notices.append(Notice(level, code, message, where))

    def reading(self, version: int = 1) -> Reading:
        """Send everything that nobody took to ``extra``, under its own path, and finish."""
        self._take_the_rest()
        return Reading(
            version=version,
            document=self.document,
            moves=tuple(self.moves),
            notices=tuple(self.notices),
        )

    def _move(self, move: Move, node: Node) -> None:
        self.moves.append(move)
        self._put(move.target, node)

    def _put(self, target: Path, node: Node) -> None:
        parent = self.document
        for key in target[:-1]:
            below = parent.get(key)
            if id(below) not in self._ours:
                below = MapNode()
                self._ours.add(id(below))
                parent[key] = below
            parent = below
        parent[target[-1]] = node

    def _mark(self, source: Path) -> None:
        place = self._taken
        for key in source[:-1]:
            place = place.setdefault(key, {})
            if place is _TAKEN:
                return  # it is on its way with what lies around it, and shown here besides
        if source:
            place[source[-1]] = _TAKEN
        else:
            self._taken = {(): _TAKEN}

    def _take_the_rest(self) -> None:
        if () in self._taken:
            return
        if not self._taken:
            whole = ("extra",) if isinstance(self.root, MapNode) else ("extra", "root")
            self._move(Move((), whole, None, "nobody knows these keys"), self.root)
            return
        stack: list[tuple[Path, Node, Any]] = [((), self.root, self._taken)]
        while stack:
            path, node, taken = stack.pop()
            inner = []
            for sub, value in children(node):
                state = _look_up(taken, sub)
                if state is _ABSENT:
                    self._move(Move(path + sub, self._free(path + sub)), value)
                elif state is not _TAKEN:
                    inner.append((path + sub, value, state))
            stack.extend(reversed(inner))

    def _free(self, path: Path) -> Path:
        """Where in ``extra`` a leftover may lie: its own path, unless something is there."""
        last, n = path[-1], 1
        while find(self.document, ("extra", *path[:-1], last), _ABSENT) is not _ABSENT:
            n += 1
            last = f"{path[-1]} ({n})"
        return ("extra", *path[:-1], last)


def _look_up(taken: Any, sub: Path) -> Any:
    """What is known of a place below: taken, partly taken (its own tree), or nothing."""
    for key in sub:
        if taken is _TAKEN or key not in taken:
            return _ABSENT
        taken = taken[key]
    return taken

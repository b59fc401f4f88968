"""Tokens and leaves back into the tree that they were made of.

Source: docs/format.md section "Tokens".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from ckptkit.errors import ManifestError
from ckptkit.nodes import Atom, MapNode, Node, Record, SeqNode, TensorNode
from ckptkit.tree import tokens as t
from ckptkit.tree.keys import KeyBudget
from ckptkit.tree.opening import Leaf, Opener
from ckptkit.types import DEFAULT_LIMITS, Limits

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def unflatten(
    tokens: Sequence[Any],
    leaves: Sequence[Leaf],
    limits: Limits = DEFAULT_LIMITS,
    where: str = "",
) -> Node:
    """Rebuild the tree that ``flatten`` wrote; ``where`` names the section in errors.

    A leaf that no token changes is handed out itself, every further tie as a copy.
    Raises: ManifestError, with the number of the token, for anything that breaks the law.
    """
    return _Builder(leaves, limits, where).run(tokens)


class _Frame:
    """A container whose children are still being read."""

    __slots__ = ("children", "need", "node", "token")

    def __init__(self, node: Node, need: int, token: Any) -> None:
        self.node, self.need, self.token = node, need, token
        self.children: list[Node] = []


class _Builder:
    def __init__(self, leaves: Sequence[Leaf], limits: Limits, where: str) -> None:
        self.limits, self.where, self.position = limits, where, 0
        self.opener = Opener(leaves)
        self.maps: list[tuple[MapNode, list[Node], int]] = []  # filled last: keys must be whole

    def run(self, tokens: Sequence[Any]) -> Node:
        """Read every token once; a frame closes when its last child is complete."""
        root = _Frame(None, 1, None)
        frames, frame = [root], root
        for self.position, token in enumerate(tokens):
            if len(frame.children) == frame.need:
                self._refuse("more tokens than the tree has nodes")
            if type(token) in _PLAIN:
                frame.children.append(token)
            else:
                node, need = self._open(token)
                frame.children.append(node)
                if need:
                    frame = _Frame(node, need, token)
                    frames.append(frame)
                    if len(frames) > self.limits.max_depth:
                        self._refuse(f"more than {self.limits.max_depth} levels of nesting")
            while len(frame.children) == frame.need and frame is not root:
                self._close(frames.pop())
                frame = frames[-1]
        if frame is not root or not root.children:
            self._refuse("the tokens end in the middle of the tree")
        self._fill_maps(len(tokens))
        return root.children[0]

    def _refuse(self, seen: str) -> NoReturn:
        where = f"{self.where} token {self.position}".strip()
        raise ManifestError(where, seen, 'tokens as docs/format.md section "Tokens" has them')

    def _open(self, token: Any) -> tuple[Node, int]:
        try:
            return self.opener.open(token)
        except ValueError as exc:
            self._refuse(str(exc))

    def _close(self, frame: _Frame) -> None:
        node, children = frame.node, frame.children
        if type(node) is MapNode:
            if len(frame.token) > 3 and frame.token[3] & t.HAS_ATTRS:
                node.attrs = self._mapping(children.pop())
            if len(children) % 2:
                node.factory = children.pop()
            self.maps.append((node, children, self.position))
        elif type(node) is SeqNode:
            if len(children) > frame.token[2]:
                node.attrs = self._mapping(children.pop())
            node.items = children
        elif type(node) is Record:
            self._close_record(node, frame.token, children)
        elif type(node) is Atom:
            node.args = tuple(children)
        elif type(node) is TensorNode:
            node.extra = self._mapping(children.pop())

    def _close_record(self, node: Record, token: Any, children: list[Node]) -> None:
        _, _, _, _, n_args, flags, n_states, n_items = token
        rest = iter(children)
        node.args = tuple(next(rest) for _ in range(n_args))
        if flags & t.HAS_KWARGS:
            node.kwargs = self._mapping(next(rest))
        if n_states is not None:
            node.states = [next(rest) for _ in range(n_states)]
        if n_items is not None:
            node.items = [next(rest) for _ in range(n_items)]
        if flags & t.HAS_ENTRIES:
            node.entries = self._mapping(next(rest))

    def _mapping(self, node: Node) -> MapNode:
        if type(node) is not MapNode:
            self._refuse(f"a {type(node).__name__} where a mapping belongs")
        return node

    def _fill_maps(self, n_tokens: int) -> None:
        """Put the pairs in. Keys are hashed by their parts, which are all complete only now."""
        budget = KeyBudget(n_tokens, self.limits)
        for node, children, position in self.maps:
            self.position = position
            keys = children[::2]
            try:
                for key, value in zip(keys, children[1::2], strict=True):
                    if type(key) is not str:
                        budget.spend(key)
                    node[key] = value
            except (TypeError, ValueError) as exc:
                self._refuse(f"{exc} as a key")
            if len(node) != len(keys):
                self._refuse("a mapping that has one key twice")

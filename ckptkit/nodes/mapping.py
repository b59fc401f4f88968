"""Mappings of any keys, loss-free and out of reach of crafted hashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckptkit.nodes.keys import key_token
from ckptkit.nodes.kinds import Node

_ABSENT = object()


class MapNode:
    """A mapping, loss-free: any node is a key, order is kept, a later pair replaces an earlier.

    ``kind`` is "dict", "OrderedDict", "defaultdict" or "Counter"; ``attrs`` is what BUILD set on
    the object (an OrderedDict's ``_metadata``); ``factory`` a defaultdict's, as data.
    """

    __slots__ = ("_pairs", "attrs", "factory", "kind")
    kind: str
    attrs: MapNode | None
    factory: Node

    def __init__(self, pairs: Any = (), kind: str = "dict", attrs: MapNode | None = None) -> None:
        """Take (key, value) pairs, or a dict with string keys."""
        self.kind, self.attrs, self.factory = kind, attrs, None
        self._pairs: dict[Any, tuple[Node, Node]] | None = None
        for key, value in pairs.items() if isinstance(pairs, dict) else pairs:
            self[key] = value

    def __setitem__(self, key: Node, value: Node) -> None:
        if self._pairs is None:
            self._pairs = {}
        token = key if type(key) is str else key_token(key)
        old = self._pairs.get(token)
        self._pairs[token] = (key if old is None else old[0], value)

    def __delitem__(self, key: Node) -> None:
        token = key if type(key) is str else key_token(key)
        if self._pairs is None or token not in self._pairs:
            raise KeyError(key)
        del self._pairs[token]

    def __getitem__(self, key: Node) -> Node:
        value = self.get(key, _ABSENT)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def get(self, key: Node, default: Node = None) -> Node:
        """The value of ``key``, or ``default``."""
        if self._pairs is None:
            return default
        pair = self._pairs.get(key if type(key) is str else key_token(key))
        return default if pair is None else pair[1]

    def __contains__(self, key: Node) -> bool:
        return self.get(key, _ABSENT) is not _ABSENT

    def __len__(self) -> int:
        return len(self._pairs) if self._pairs else 0

    def __bool__(self) -> bool:
        return True  # a node is something, even when it is empty; ask len()

    def __iter__(self) -> Iterator[Node]:
        return iter([key for key, _ in self._pairs.values()] if self._pairs else ())

    def items(self) -> list[tuple[Node, Node]]:
        """The pairs, in order."""
        return list(self._pairs.values()) if self._pairs else []

    def values(self) -> list[Node]:
        """The values, in order."""
        return [value for _, value in self._pairs.values()] if self._pairs else []

    def __repr__(self) -> str:
        return f"<MapNode {self.kind} of {len(self)}>"

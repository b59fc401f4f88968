"""How much work the compound keys of an untrusted tree may cause."""

from __future__ import annotations

from ckptkit.nodes import Node
from ckptkit.tree.parts import SCALARS, parts
from ckptkit.types import Limits

_REPEATS = 8  # an honest tree names one compound key in a few mappings, not in thousands


class KeyBudget:
    """Counts the nodes inside keys before anybody hashes them.

    Parts that keys share are hashed again for every key, so few bytes could cause endless work.
    """

    def __init__(self, n_tokens: int, limits: Limits) -> None:
        self.max_key_nodes = limits.max_key_nodes
        self.left = limits.base_nodes + _REPEATS * n_tokens

    def spend(self, key: Node) -> None:
        """Take the nodes of ``key`` off. Raises: ValueError if it is too much."""
        if type(key) in SCALARS:
            return
        met = {id(key)}
        stack = [key]
        n_nodes = 0
        while stack:
            n_nodes += 1
            for _, part in parts(stack.pop()):
                if type(part) in SCALARS:
                    n_nodes += 1
                elif id(part) not in met:
                    met.add(id(part))
                    stack.append(part)
                if n_nodes > self.max_key_nodes:
                    raise ValueError(f"a key of more than {self.max_key_nodes} nodes")
        self.left -= n_nodes
        if self.left < 0:
            raise ValueError("keys that share their parts too often")

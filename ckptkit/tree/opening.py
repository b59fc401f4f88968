"""What one token opens: the node, and how many children follow it.

Source: docs/format.md section "Tokens".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ckptkit.nodes import (
    Atom,
    BlobNode,
    GlobalName,
    IndexRule,
    MapNode,
    Node,
    Record,
    SeqNode,
    TensorNode,
)
from ckptkit.tree import tokens as t

Leaf = TensorNode | BlobNode
Opened = tuple[Node, int]


class Opener:
    """Turns array tokens into nodes without children; remembers those that a REF can name.

    Raises: ValueError, from ``open``, for every token that docs/format.md does not have.
    """

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self.leaves = leaves
        self.compounds: list[Node] = []
        self._handed_out: set[int] = set()
        self._openers: dict[int, tuple[Callable[..., Opened], int, int]] = {
            t.REF: (self._ref, 2, 2),
            t.MAP: (self._map, 3, 4),
            t.SEQ: (self._seq, 3, 4),
            t.RECORD: (self._record, 8, 8),
            t.ATOM: (self._atom, 3, 3),
            t.NAME: (self._name, 3, 3),
            t.TENSOR: (self._tensor, 2, 6),
            t.BLOB: (self._blob, 2, 2),
            t.TEXT: (self._text, 2, 2),
            t.INTEGER: (self._integer, 2, 2),
            t.COMPLEX: (self._complex, 3, 3),
        }

    def open(self, token: Any) -> Opened:
        """Return the node of ``token`` and the number of children to come."""
        if type(token) is list and len(token) == 2 and token[0] == t.TENSOR:
            leaf = self._plain_leaf(token)
            if leaf is not None:
                return leaf, 0
        if type(token) not in (list, tuple) or not token or type(token[0]) is not int:
            raise ValueError(f"a {type(token).__name__} that is no token")
        opener, least, most = self._openers.get(token[0], (None, 0, 0))
        if opener is None:
            raise ValueError(f"unknown code {token[0]}")
        if not least <= len(token) <= most:
            raise ValueError(f"a token of code {token[0]} with {len(token)} items")
        return opener(*token[1:])

    def _plain_leaf(self, token: list[Any]) -> Leaf | None:
        """The leaf of the token that nearly all are, if it is handed out for the first time.

        Whatever is odd about the token is left to those who say what.
        """
        code, number = token
        if type(code) is not int or type(number) is not int or number in self._handed_out:
            return None
        leaf = self.leaves[number] if 0 <= number < len(self.leaves) else None
        if type(leaf) is not TensorNode or leaf.extra is not None or leaf.rule is not None:
            return None
        self._handed_out.add(number)
        self.compounds.append(leaf)
        return leaf

    def _ref(self, ordinal: Any) -> Opened:
        return self.compounds[check_index(ordinal, len(self.compounds), "node")], 0

    def _map(self, kind: Any, count: Any, flags: Any = 0) -> Opened:
        node = MapNode(kind=t.MAP_KINDS[check_index(kind, len(t.MAP_KINDS), "kind of mapping")])
        check_index(flags, t.HAS_ATTRS + t.HAS_FACTORY + 1, "flags")
        self.compounds.append(node)
        return node, 2 * check_count(count) + flags.bit_count()

    def _seq(self, kind: Any, count: Any, flags: Any = 0) -> Opened:
        name = t.SEQ_KINDS[check_index(kind, len(t.SEQ_KINDS), "kind of sequence")]
        check_index(flags, t.HAS_ATTRS + 1, "flags")
        node = SeqNode([], name)
        self.compounds.append(node)
        return node, check_count(count) + flags

    def _record(self, module: Any, qualname: Any, how: Any, *counts: Any) -> Opened:
        n_args, flags, n_states, n_items = counts
        check_index(flags, t.HAS_KWARGS + t.HAS_ENTRIES + 1, "flags")
        node = Record(
            GlobalName(t.parse_text(module), t.parse_text(qualname)),
            t.HOWS[check_index(how, len(t.HOWS), "way of making")],
            states=None if n_states is None else [],
            items=None if n_items is None else [],
        )
        self.compounds.append(node)
        need = check_count(n_args) + flags.bit_count()
        for count in (n_states, n_items):
            need += 0 if count is None else check_count(count)
        return node, need

    def _atom(self, kind: Any, count: Any) -> Opened:
        node = Atom(t.parse_text(kind), ())
        self.compounds.append(node)
        return node, check_count(count)

    def _name(self, module: Any, qualname: Any) -> Opened:
        return GlobalName(t.parse_text(module), t.parse_text(qualname)), 0

    def _text(self, packed: Any) -> Opened:
        if type(packed) is not bytes:
            raise ValueError("a token of odd text without its bytes")
        return t.parse_text(packed), 0

    def _integer(self, packed: Any) -> Opened:
        return t.parse_integer(packed), 0

    def _complex(self, real: Any, imag: Any) -> Opened:
        if type(real) is not float or type(imag) is not float:
            raise ValueError("a complex number whose parts are no floats")
        return complex(real, imag), 0

    def _blob(self, number: Any) -> Opened:
        leaf = self._leaf(number, BlobNode)
        first = number not in self._handed_out
        self._handed_out.add(number)
        node = leaf if first else BlobNode(leaf.name, leaf.nbytes, leaf.source)
        self.compounds.append(node)
        return node, 0

    def _tensor(self, number: Any, *label: Any) -> Opened:
        leaf: TensorNode = self._leaf(number, TensorNode)
        if not label:
            if leaf.extra is None and leaf.rule is None and number not in self._handed_out:
                self._handed_out.add(number)
                self.compounds.append(leaf)
                return leaf, 0
            node = _copy(leaf, leaf.flavour, leaf.requires_grad, None)
            self.compounds.append(node)
            return node, 0
        if len(label) != 4:
            raise ValueError("a tensor token of odd length")
        flavour, requires_grad, rule, has_extra = label
        if type(requires_grad) is not bool or type(has_extra) is not bool:
            raise ValueError("a tensor token whose flags are no booleans")
        name = t.FLAVOURS[check_index(flavour, len(t.FLAVOURS) - 1, "flavour")]
        node = _copy(leaf, name, requires_grad, parse_rule(rule))
        self.compounds.append(node)
        return node, int(has_extra)

    def _leaf(self, number: Any, kind: type) -> Any:
        leaf = self.leaves[check_index(number, len(self.leaves), "leaf")]
        if type(leaf) is not kind:
            raise ValueError(f"leaf {number} is a {type(leaf).__name__}, not a {kind.__name__}")
        return leaf


def check_index(value: Any, n_names: int, what: str) -> int:
    """Return ``value`` if it is one of ``range(n_names)``. Raises: ValueError."""
    if type(value) is not int or not 0 <= value < n_names:
        seen = f"{value:.20g}" if type(value) in (int, float) else f"a {type(value).__name__}"
        raise ValueError(f"{what} {seen}, of which there are {n_names}")
    return value


def check_count(value: Any) -> int:
    """Return ``value`` if it can be a number of children. Raises: ValueError."""
    if type(value) is not int or value < 0:
        raise ValueError("a count that is no count")
    return value


def parse_rule(rule: Any) -> IndexRule | None:
    """Read the index rule of a tensor token. Raises: ValueError."""
    if rule is None:
        return None
    if type(rule) not in (list, tuple) or not rule or type(rule[0]) is not str:
        raise ValueError("an index rule that is none")
    limits = tuple(check_count(limit) for limit in rule[1:])
    if rule[0] not in t.RULES or len(limits) < t.RULES[rule[0]]:
        raise ValueError("an index rule that is none")
    return IndexRule(rule[0], limits)


def _copy(leaf: TensorNode, flavour: str, requires_grad: bool, rule: Any) -> TensorNode:
    """Return another tensor object over the same bytes."""
    return TensorNode(
        dtype=leaf.dtype, shape=leaf.shape, strides=leaf.strides, offset=leaf.offset,
        storage=leaf.storage, flavour=flavour, requires_grad=requires_grad, conj=leaf.conj,
        neg=leaf.neg, numpy_dtype=leaf.numpy_dtype, rule=rule,
    )  # fmt: skip

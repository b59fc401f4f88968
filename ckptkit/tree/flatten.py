"""A tree of nodes into one flat list of tokens, and its tensors into one list of leaves.

Source: docs/format.md section "Tokens".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ckptkit.errors import LimitExceededError, UnrepresentableError
from ckptkit.nodes import (
    Atom,
    BlobNode,
    GlobalName,
    MapNode,
    Node,
    Path,
    PathKey,
    Record,
    SeqNode,
    TensorNode,
)
from ckptkit.tree import tokens as t
from ckptkit.tree.parts import ATTRS, Part, attribute_parts, parts
from ckptkit.tree.paths import path_text
from ckptkit.types import DEFAULT_LIMITS, Limits

Leaf = TensorNode | BlobNode
_PLAIN = frozenset({type(None), bool, float, bytes})
_FREE_STEPS, _STEPS_PER_LEAF = 1_000_000, 64  # of the paths of all leaves together


class Flat(NamedTuple):
    """The flat form. ``paths[i]`` is the first place of ``leaves[i]``."""

    tokens: list[Any]
    leaves: list[Leaf]
    paths: list[Path]


class FlatSections(NamedTuple):
    """Sections flattened one by one, over one numbering of leaves; paths start with the name."""

    tokens: dict[str, list[Any]]
    leaves: list[Leaf]
    paths: list[Path]


class LeafBook:
    """Numbers leaves in the order in which they are met; equal views share a number."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.paths: list[Path] = []
        self._numbers: dict[Any, int] = {}
        self._n_steps = 0

    def number(self, leaf: Leaf, here: Sequence[PathKey], sub: Path) -> int:
        """Return the number of ``leaf``, a new one if nothing showed these bytes before.

        Raises: LimitExceededError for a tree that has many leaves below very many levels.
        """
        view = leaf.same_view() if isinstance(leaf, TensorNode) else id(leaf)
        number = self._numbers.setdefault(view, len(self.leaves))
        if number == len(self.leaves):
            self._n_steps += len(here)
            if self._n_steps > _FREE_STEPS + _STEPS_PER_LEAF * number:
                raise LimitExceededError(
                    path_text(tuple(here[:8])), f"{number} tensors at paths of absurd length",
                    f"{_STEPS_PER_LEAF} steps each",
                )  # fmt: skip
            self.leaves.append(leaf)
            self.paths.append((*here, *sub))
        return number


def flatten(node: Node, limits: Limits = DEFAULT_LIMITS, book: LeafBook | None = None) -> Flat:
    """Write ``node`` as preorder tokens: aliases, cycles and ties are kept as references.

    With ``book`` leaves are numbered after those that it holds, so that several trees can share
    one table of tensors; ``leaves`` and ``paths`` are then the whole book's.
    Raises: LimitExceededError for more than ``max_depth`` levels; UnrepresentableError for an
    object that is no node.
    """
    flattener = _Flattener(limits, book or LeafBook())
    flattener.run(node)
    return Flat(flattener.tokens, flattener.book.leaves, flattener.book.paths)


def flatten_sections(document: MapNode, limits: Limits = DEFAULT_LIMITS) -> FlatSections:
    """Flatten every value of ``document`` by itself; equal views are one leaf across all.

    A container that two sections share becomes one copy in each; its tensors stay tied.
    """
    book = LeafBook()
    tokens: dict[str, list[Any]] = {}
    for name, section in document.items():
        flattener = _Flattener(limits, book, (name,))
        flattener.run(section)
        tokens[name] = flattener.tokens
    return FlatSections(tokens, book.leaves, book.paths)


class _Flattener:
    def __init__(self, limits: Limits, book: LeafBook, root: Path = ()) -> None:
        self.limits, self.book = limits, book
        self.here: list[PathKey] = list(root)
        self.tokens: list[Any] = []
        self.ordinals: dict[int, int] = {}  # id of a compound node -> its place in preorder

    def run(self, node: Node) -> None:
        """Walk ``node`` in preorder, one frame of children a level, and emit its tokens."""
        frames: list[tuple[Iterator[Part], int]] = [(iter([((), node)]), 0)]
        emit, here = self.tokens.append, self.here
        while frames:
            children, length = frames[-1]
            for sub, child in children:
                kind = type(child)
                if kind is str:
                    emit(child if child.isascii() else _text_token(child))
                elif kind in _PLAIN:
                    emit(child)
                elif kind is int:
                    emit(child if t.MIN_INT <= child <= t.MAX_INT else _integer_token(child))
                elif self._open(child, sub):
                    is_attrs = sub is ATTRS  # attributes are places of their owner
                    frames.append(
                        (attribute_parts(child), 0) if is_attrs else (parts(child), len(sub))
                    )
                    here.extend(() if is_attrs else sub)
                    break
            else:
                frames.pop()
                del here[len(here) - length :]
            if len(frames) > self.limits.max_depth:
                raise _too_deep(here, self.limits)

    def _open(self, node: Node, sub: Path) -> bool:
        """Emit the token of a node that is no plain scalar; say whether children follow."""
        kind = type(node)
        if kind is GlobalName:
            self.tokens.append([t.NAME, t.pack_text(node.module), t.pack_text(node.qualname)])
            return False
        if kind is complex:
            self.tokens.append([t.COMPLEX, node.real, node.imag])
            return False
        ordinal = self.ordinals.get(id(node))
        if ordinal is not None:
            self.tokens.append([t.REF, ordinal])
            return False
        self.ordinals[id(node)] = len(self.ordinals)
        if kind is TensorNode or kind is BlobNode:
            self.tokens.append(self._leaf_token(node, sub))
            return kind is TensorNode and node.extra is not None
        token = _compound_token(node)
        if token is None:
            raise self._no_node(node, sub)
        self.tokens.append(token)
        return True

    def _no_node(self, node: Node, sub: Path) -> UnrepresentableError:
        is_known = type(node) in (MapNode, SeqNode, Record, TensorNode)
        seen = repr(node)[:200] if is_known else f"a {type(node).__name__}"
        return UnrepresentableError(
            path_text((*self.here, *sub)), seen, "a node as docs/format.md knows it"
        )

    def _leaf_token(self, node: Leaf, sub: Path) -> list[Any]:
        number = self.book.number(node, self.here, sub)
        if isinstance(node, BlobNode):
            return [t.BLOB, number]
        first: Any = self.book.leaves[number]
        same = node.flavour == first.flavour and node.requires_grad == first.requires_grad
        if same and node.rule is None and node.extra is None:
            return [t.TENSOR, number]
        if node.flavour not in t.FLAVOURS[:-1]:
            raise self._no_node(node, sub)
        rule = None if node.rule is None else [node.rule.kind, *node.rule.limits]
        flavour = t.FLAVOURS.index(node.flavour)
        return [t.TENSOR, number, flavour, node.requires_grad, rule, node.extra is not None]


def _text_token(text: str) -> Any:
    packed = t.pack_text(text)
    return text if packed is text else [t.TEXT, packed]


def _integer_token(value: int) -> list[Any]:
    return [t.INTEGER, t.pack_integer(value)]


def _compound_token(node: Node) -> list[Any] | None:
    """Return the token of a container: its kind and how many children of which sort follow."""
    kind = type(node)
    if kind is MapNode and node.kind in t.MAP_KINDS:
        flags = t.HAS_ATTRS * (node.attrs is not None) + t.HAS_FACTORY * (node.factory is not None)
        token = [t.MAP, t.MAP_KINDS.index(node.kind), len(node)]
        return [*token, flags] if flags else token
    if kind is SeqNode and node.kind in t.SEQ_KINDS:
        token = [t.SEQ, t.SEQ_KINDS.index(node.kind), len(node.items)]
        return token if node.attrs is None else [*token, t.HAS_ATTRS]
    if isinstance(node, Record) and node.how in t.HOWS:
        return _record_token(node)
    return [t.ATOM, t.pack_text(node.kind), len(node.args)] if kind is Atom else None


def _record_token(node: Record) -> list[Any]:
    has_kwargs, has_entries = node.kwargs is not None, node.entries is not None
    return [
        t.RECORD,
        t.pack_text(node.name.module),
        t.pack_text(node.name.qualname),
        t.HOWS.index(node.how),
        len(node.args),
        t.HAS_KWARGS * has_kwargs + t.HAS_ENTRIES * has_entries,
        None if node.states is None else len(node.states),
        None if node.items is None else len(node.items),
    ]


def _too_deep(here: list[PathKey], limits: Limits) -> LimitExceededError:
    return LimitExceededError(
        path_text(tuple(here[:8])),
        f"more than {limits.max_depth} levels of nesting below it",
        advice="raise the limit max_depth",
    )

"""Tensors that were joined or taken apart: q, k, v; keys and values; gate and up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ckptkit.algebra import Concat, Operation, Split
from ckptkit.verbs.guessing.draft import Draft
from ckptkit.verbs.guessing.families import generalised

_END = r"(?:_?(?:proj|projection|linear|lin))?"


class _Kind(NamedTuple):
    parts: tuple[str, ...]
    whole: str


_KINDS = (
    _Kind(("q|query|to_q|wq|q_w", "k|key|to_k|wk|k_w", "v|value|to_v|wv|v_w"),
          "(?:to_)?w?qkv(?:_proj)?|in_proj|c_attn|query_key_value|Wqkv"),
    _Kind(("k|key|to_k|wk", "v|value|to_v|wv"), "(?:to_)?w?kv(?:_proj)?|key_value"),
    _Kind(("gate|w1", "up|w3"), "gate_up(?:_proj)?|w13"),
)  # fmt: skip
_BY_HEAD = ("query_key_value",)  # as a rule interleaved head by head: shapes do not show it


class _Found(NamedTuple):
    whole: str
    parts: tuple[str, ...]
    axis: int
    sizes: tuple[int, ...]


def find_fused(draft: Draft) -> None:
    """Take up what was joined or cut, where names and shapes say so alike."""
    stored, wanted = draft.left()
    shape = {**{n: draft.shape(n) for n in stored}, **{n: draft.wanted[n].shape for n in wanted}}
    for kind in _KINDS:
        _tell(draft, [_found(kind, whole, wanted, shape) for whole in stored], split=True)
        _tell(draft, [_found(kind, whole, stored, shape) for whole in wanted], split=False)


def _found(
    kind: _Kind, whole: str, others: Iterable[str], shape: dict[str, tuple[int, ...]]
) -> _Found | None:
    """The parts of a tensor among other names: those beside it, called as the kind says."""
    path, _, leaf = whole.rpartition(".")
    above, dot, module = path.rpartition(".")
    if not re.fullmatch(kind.whole, module):
        return None
    lead = re.escape(above + dot)
    parts = []
    for words in kind.parts:
        pattern = re.compile(rf"{lead}(?:{words}){_END}\.{re.escape(leaf)}")
        named = [name for name in others if pattern.fullmatch(name)]
        if len(named) != 1:
            return None
        parts.append(named[0])
    shapes = [shape[name] for name in parts]
    for axis in range(len(shape[whole])):
        sizes = tuple(s[axis] for s in shapes if len(s) > axis)
        rest = {(*s[:axis], *s[axis + 1 :]) for s in (*shapes, shape[whole])}
        if sum(sizes) == shape[whole][axis] and len(rest) == 1 and len(sizes) == len(parts):
            return _Found(whole, tuple(parts), axis, () if len(set(sizes)) == 1 else sizes)
    return None


def _tell(draft: Draft, candidates: list[_Found | None], *, split: bool) -> None:
    alike: dict[tuple[int, tuple[int, ...]], list[_Found]] = {}
    for one in candidates:
        if one is not None:
            alike.setdefault((one.axis, one.sizes), []).append(one)
    for (axis, sizes), found in alike.items():
        rows = [(one.whole, *one.parts) if split else (*one.parts, one.whole) for one in found]
        for row in generalised(rows, draft.state):
            operation: Operation = (
                Split(row[0], row[1:], axis, sizes)
                if split
                else Concat(row[:-1], row[-1], axis, sizes)
            )
            if any(word in one.whole for one in found for word in _BY_HEAD):
                draft.ask("are the parts one after the other, and not head by head?", operation)
            else:
                draft.accept(operation, "names and shapes; the parts lie one after the other")

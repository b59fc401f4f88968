"""Tensors that one side keeps apart and the other joined: q, k, v and qkv, gate and up.

Only noted, never done: joining is the work of a migrator, which says in which order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ckptkit.match.board import Board
from ckptkit.match.families import pattern_of
from ckptkit.match.values import Entry, Shape


class _Kind(NamedTuple):
    """The words for each part, in the order in which they are joined, and for the whole."""

    parts: tuple[re.Pattern[str], ...]
    whole: re.Pattern[str]


def _words(*listed: str) -> tuple[re.Pattern[str], ...]:
    return tuple(
        re.compile(rf"(?:{words})(?:_?(?:proj|projection|linear|lin))?") for words in listed
    )


_KINDS = (
    _Kind(
        _words("q|query|to_q|wq|q_w", "k|key|to_k|wk|k_w", "v|value|to_v|wv|v_w"),
        re.compile(
            "(?:to_)?w?qkv(?:_proj)?|in_proj(?:_weight|_bias)?|c_attn|query_key_value",
            re.IGNORECASE,
        ),
    ),
    _Kind(
        _words("k|key|to_k|wk", "v|value|to_v|wv"),
        re.compile(r"(?:to_)?w?kv(?:_proj)?|key_value", re.IGNORECASE),
    ),
    _Kind(
        _words("gate|w1", "up|w3"),
        re.compile(r"gate_up(?:_proj)?|w13|w12", re.IGNORECASE),
    ),
)  # fmt: skip

Parts = dict[int, str]  # number of the part -> name


def tell_fused(board: Board) -> None:
    """Note what looks split on one side and joined on the other, one sentence a pattern."""
    stored, wanted = board.tensors("stored"), board.tensors("wanted")
    if not stored or not wanted:
        return
    for kind in _KINDS:
        board.notes += _sentences(kind, (stored, board.stored), (wanted, board.wanted), "concat")
        board.notes += _sentences(kind, (wanted, board.wanted), (stored, board.stored), "split")


Side = tuple[Mapping[str, str], Mapping[str, Entry]]  # what free names are called, the entries


def _sentences(kind: _Kind, apart: Side, joined: Side, operation: str) -> list[str]:
    wholes: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for name, now in joined[0].items():
        if whole := _place(now, (kind.whole,)):
            wholes.setdefault(_key(*whole[1:]), []).append(name)
    found: dict[tuple[str, ...], list[tuple[Sequence[str], str]]] = {}
    for place, parts in _sets(kind, apart[0]).items():
        names = [parts[number] for number in sorted(parts)]
        shapes = [apart[1][name].shape for name in names]
        fits = [w for w in wholes.get(_key(*place), []) if _is_sum(shapes, joined[1][w].shape)]
        if len(fits) == 1:
            patterns = tuple(pattern_of(apart[0][name]) for name in names)
            found.setdefault(patterns, []).append((names, fits[0]))
    return [_sentence(rows, apart[1], joined[1], operation) for _, rows in sorted(found.items())]


def _sets(kind: _Kind, called: Mapping[str, str]) -> dict[tuple[str, str], Parts]:
    """Whole sets of parts, by where they lie."""
    sets: dict[tuple[str, str], Parts] = {}
    for name, now in called.items():
        if place := _place(now, kind.parts):
            sets.setdefault(place[1:], {})[place[0]] = name
    return {place: parts for place, parts in sets.items() if len(parts) == len(kind.parts)}


def _place(name: str, words: tuple[re.Pattern[str], ...]) -> tuple[int, str, str] | None:
    """Which word stands last but one in the name (or last), what before it, what behind."""
    path, _, leaf = name.rpartition(".")
    above, _, part = path.rpartition(".")
    if (number := _which(part, words)) >= 0:
        return number, above, leaf
    if (number := _which(leaf, words)) >= 0:
        return number, path, "bias" if leaf.endswith("bias") else "weight"
    return None


@lru_cache(maxsize=4096)  # a model has few different segments, and very many names
def _which(segment: str, words: tuple[re.Pattern[str], ...]) -> int:
    return next((n for n, word in enumerate(words) if word.fullmatch(segment)), -1)


def _key(above: str, leaf: str) -> tuple[tuple[str, ...], str]:
    """The same layer may be called otherwise on the other side; its numbers are the same."""
    return tuple(re.findall(r"(?<![0-9])[0-9]+(?![0-9])", above)), leaf


def _is_sum(parts: Sequence[Shape], whole: Shape) -> bool:
    """Tell whether the parts laid along one axis have the shape of the whole."""
    if any(len(part) != len(whole) for part in parts):
        return False
    for axis in range(len(whole)):
        rest = {part[:axis] + part[axis + 1 :] for part in parts}
        total = sum(part[axis] for part in parts)
        if rest == {whole[:axis] + whole[axis + 1 :]} and total == whole[axis]:
            return True
    return False


def _sentence(
    rows: Sequence[tuple[Sequence[str], str]],
    apart: Mapping[str, Entry],
    joined: Mapping[str, Entry],
    operation: str,
) -> str:
    names, whole = rows[0]
    sides = ("stored", "wanted") if operation == "concat" else ("wanted", "stored")
    shapes = ", ".join(dict.fromkeys(str(list(apart[name].shape)) for name in names))
    more = f" (and {len(rows) - 1} more like it)" if len(rows) > 1 else ""
    verb = "joins" if operation == "concat" else "parts"
    return (
        f"{', '.join(names)} of shape {shapes} ({sides[0]}) look like the {sides[1]} {whole} "
        f"{list(joined[whole].shape)}{more}: a migrator with {operation} {verb} them"
    )

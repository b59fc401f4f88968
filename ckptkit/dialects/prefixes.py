"""The prefixes that wrappers put before the names of a model, and how to take them off."""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.wrappers import PARALLEL, WRAPPERS, without_wrappers

_IN_FRONT = PARALLEL + "."


def strip_wrappers(names: Iterable[str], *, parallel: bool = True) -> dict[str, str]:
    """Map every name that a wrapper changed to what the model itself calls it.

    DataParallel's goes only in front, and only where every name has it. Two names never become
    one: then nothing is stripped.
    """
    olds = list(names)
    news = [without_wrappers(name) for name in olds]
    while parallel and news and all(_is_parallel(name) for name in news):
        news = [name[len(_IN_FRONT) :] for name in news]
    if len(set(news)) != len(news) or not all(news):
        return {}
    return {old: new for old, new in zip(olds, news, strict=True) if old != new}


def _is_parallel(name: str) -> bool:
    return name.startswith(_IN_FRONT) and len(name) > len(_IN_FRONT)


def describe(renamed: dict[str, str]) -> str:
    """Say which wrappers ``renamed`` takes off, for the report."""
    found = [word for word in (*WRAPPERS, PARALLEL) if any(word in old for old in renamed)]
    return f"wrapper prefix {', '.join(found)} taken off {len(renamed)} names"

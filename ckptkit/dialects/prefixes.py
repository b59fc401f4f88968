"""The prefixes that wrappers put before the names of a model, and how to take them off.

Source: torch.nn.parallel (``module.``), torch.compile (``_orig_mod.``), FSDP
(``_fsdp_wrapped_module.``), activation checkpointing (``_checkpoint_wrapped_module.``).
"""

from __future__ import annotations

from collections.abc import Iterable

#: Nobody gives an attribute such a name himself, so these go wherever they stand in a path.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")

#: DataParallel's. It is a likely name of an attribute too, so it goes only in front, and only
#: where every name has it.
PARALLEL = "module."


def strip_wrappers(names: Iterable[str], *, parallel: bool = True) -> dict[str, str]:
    """Map every name that a wrapper changed to what the model itself calls it.

    Two names never become one, and none becomes empty: then nothing is stripped.
    """
    olds = list(names)
    news = [_without_wrappers(name) for name in olds]
    while parallel and news and all(_is_parallel(name) for name in news):
        news = [name[len(PARALLEL) :] for name in news]
    if len(set(news)) != len(news) or not all(news):
        return {}
    return {old: new for old, new in zip(olds, news, strict=True) if old != new}


def _is_parallel(name: str) -> bool:
    return name.startswith(PARALLEL) and len(name) > len(PARALLEL)


def _without_wrappers(name: str) -> str:
    if "_orig_mod" not in name and "_wrapped_module" not in name:
        return name  # the common case, without splitting 100,000 names
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def describe(renamed: dict[str, str]) -> str:
    """Say which wrappers ``renamed`` takes off, for the report."""
    found = [word for word in (*WRAPPERS, "module") if any(word in old for old in renamed)]
    return f"wrapper prefix {', '.join(found)} taken off {len(renamed)} names"

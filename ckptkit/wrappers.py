"""The words that wrappers put into the names of a model.

Source: torch.nn.parallel (``module.``), torch.compile (``_orig_mod.``), FSDP
(``_fsdp_wrapped_module.``), activation checkpointing (``_checkpoint_wrapped_module.``),
Lightning Fabric (``_forward_module.``).
"""

from __future__ import annotations

#: Nobody gives an attribute such a name himself, so these go wherever they stand in a path.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")

#: DataParallel's. It is a likely name of an attribute too, so whoever strips it needs a reason:
#: every name has it in front, or the names of the other side say that it is a wrapper.
PARALLEL = "module"


def may_be_wrapped(name: str) -> bool:
    """Tell cheaply, without splitting 100,000 names, whether one may hold a word of ``WRAPPERS``.

    Every word of ``WRAPPERS`` ends in one of these two.
    """
    return "_mod" in name and any(word in name for word in WRAPPERS)


def without_wrappers(name: str) -> str:
    """Return ``name`` without the words of ``WRAPPERS``; its last segment always stays."""
    if not may_be_wrapped(name):
        return name
    *path, leaf = name.split(".")
    return ".".join([*(part for part in path if part not in WRAPPERS), leaf])


def differ_by_wrappers(one: str, other: str) -> bool:
    """Say whether two names that are known to mean the same differ in words of wrappers alone."""
    return _bare(one) == _bare(other)


def _bare(name: str) -> list[str]:
    return [part for part in name.split(".") if part not in WRAPPERS and part != PARALLEL]

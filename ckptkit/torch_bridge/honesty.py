"""Which submodules must be loaded by their own ``load_state_dict``, because they override it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

_BASE = torch.nn.Module
_LOADERS = ("load_state_dict", "_load_from_state_dict")
_EXTRA = ("get_extra_state", "set_extra_state")
_SAVE_HOOKS = ("_state_dict_hooks", "_state_dict_pre_hooks")
_SAVERS = ("state_dict", "_save_to_state_dict")

#: Overrides that copy plainly, whatever the version: what is missing from old files
#: (num_batches_tracked) matching calls benign, and the module keeps its own.
_KNOWN_LOADERS = frozenset({_NormBase._load_from_state_dict, _InstanceNorm._load_from_state_dict})  # noqa: SLF001

#: Hooks that do nothing to names of today; matching maps the old names itself.
_KNOWN_HOOKS = frozenset(
    {("torch.nn.utils.parametrizations", "weight_norm.<locals>._weight_norm_compat_hook")}
)


def honest_roots(
    module: torch.nn.Module,
    odd: Mapping[str, str],
    stored_version: Callable[[str], int | None],
) -> dict[str, str]:
    """Return the topmost submodules that have to be asked, by path, each with the reason.

    ``odd``: names of the state_dict that cannot be filled in place, with the reason.
    ``stored_version`` tells the ``_version`` that the checkpoint has for a path, or None.
    Source: torch/nn/modules/module.py, ``load_state_dict``.
    """
    reasons: dict[str, str] = {}
    known: dict[type, str] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        kind = type(part)
        if kind not in known:
            known[kind] = _class_reason(kind)
        reason = known[kind] or _hook_reason(part)
        if not reason and _loads_by_version(kind):
            reason = _version_reason(part, stored_version(path))
        if reason:
            reasons[path] = reason
    for name, reason in odd.items():
        reasons.setdefault(_owner(module, name), reason)
    return _topmost(reasons)


def copies_plainly(module: torch.nn.Module, name: str) -> bool:
    """Say whether torch itself copies the tensor called ``name``: only its own shape fits then."""
    return not any(_shapes_loading(part) for _, part in _above(module, name))


def _shapes_loading(part: torch.nn.Module) -> bool:
    kind = type(part)
    methods = ((getattr(kind, name), getattr(_BASE, name)) for name in _LOADERS)
    own = any(method is not plain and method not in _KNOWN_LOADERS for method, plain in methods)
    return own or bool(getattr(part, "_load_state_dict_pre_hooks", None))


def _class_reason(kind: type) -> str:
    for name in _LOADERS:
        method = getattr(kind, name)
        if method is not getattr(_BASE, name) and method not in _KNOWN_LOADERS:
            return f"{kind.__name__} overrides {name}"
    for name in _EXTRA:
        if getattr(kind, name) is not getattr(_BASE, name):
            return f"{kind.__name__} has an extra state"
    return ""


def _hook_reason(part: torch.nn.Module) -> str:
    if getattr(part, "_load_state_dict_post_hooks", None):
        return "it has a hook after loading"
    for hook in getattr(part, "_load_state_dict_pre_hooks", {}).values():
        bare = getattr(hook, "hook", hook)
        name = (getattr(bare, "__module__", ""), getattr(bare, "__qualname__", ""))
        if name not in _KNOWN_HOOKS:
            return "it has a hook before loading"
    return ""


def _loads_by_version(kind: type) -> bool:
    """Say whether a version could matter: only an override ever looks at it."""
    loader = getattr(kind, "_load_from_state_dict", None)
    return loader is not _BASE._load_from_state_dict and loader not in _KNOWN_LOADERS  # noqa: SLF001


def _version_reason(part: torch.nn.Module, stored: int | None) -> str:
    live = getattr(part, "_version", None)
    if stored is None or stored == live:
        return ""
    return f"it was stored by version {stored}, and is version {live} now"


def _owner(module: torch.nn.Module, name: str) -> str:
    """Return the path of the topmost module above ``name`` that shapes its own state_dict.

    Without one it is the module that the name itself says.
    """
    nearest = ""
    for path, part in _above(module, name):
        nearest = path
        kind = type(part)
        hooked = any(getattr(part, hooks, None) for hooks in _SAVE_HOOKS)
        if hooked or any(getattr(kind, name) is not getattr(_BASE, name) for name in _SAVERS):
            return path
    return nearest


def _above(module: torch.nn.Module, name: str) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the modules on the way to ``name``, from the top."""
    part: Any = module
    path: list[str] = []
    yield "", module
    for step in name.split(".")[:-1]:
        part = part._modules.get(step)  # noqa: SLF001
        if part is None:
            return
        path.append(step)
        yield ".".join(path), part


def _topmost(reasons: Mapping[str, str]) -> dict[str, str]:
    if "" in reasons:
        return {"": reasons[""]}
    kept: dict[str, str] = {}
    for path in sorted(reasons, key=lambda path: path.count(".")):
        steps = path.split(".")
        if not any(".".join(steps[:n]) in kept for n in range(1, len(steps))):
            kept[path] = reasons[path]
    return kept

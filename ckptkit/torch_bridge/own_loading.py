"""Let a submodule load itself by its own ``load_state_dict``: for real, or rehearsed on a copy."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from ckptkit.nodes import MapNode, Node, TensorNode
from ckptkit.torch_bridge.reaching import reaches_the_original
from ckptkit.torch_bridge.revive import revive
from ckptkit.torch_bridge.revived_memory import torch_dtype

#: What torch keeps in every module; all but the hooks of loading has no part in loading.
_TORCH_HAS = frozenset(vars(torch.nn.Module()))


class Outcome(NamedTuple):
    """What ``load_state_dict`` said, in names below the submodule."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


Versions = Mapping[str, int]


def load_itself(part: torch.nn.Module, state: Mapping[str, Node], versions: Versions) -> Outcome:
    """Give the submodule its part of the state_dict, revived, and return what it said.

    ``versions`` becomes the ``_metadata`` that hooks and overrides look at.
    Raises: ContainerError for bytes that cannot be read.
    """
    values = revive(MapNode(state.items()))
    return _load(part, values, versions)


def rehearse(
    part: torch.nn.Module, state: Mapping[str, Node], versions: Versions
) -> Outcome | None:
    """Do the same on a copy that has no memory; None where that says nothing.

    Nothing of the module is changed: a submodule whose code may hold on to the module itself is
    not rehearsed, and neither is one whose values only exist when they are read.
    """
    if reaches_the_original(_code_of(part)):
        return None
    values = {name: _shadow(node) for name, node in state.items()}
    if any(value is None for value in values.values()):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            twin = copy.deepcopy(part, _without_memory(part))
            return _load(twin, values, versions)
        except Exception:  # noqa: BLE001 - whatever a foreign class does with a tensor without values
            return None


def _load(part: torch.nn.Module, values: Mapping[str, Any], versions: Versions) -> Outcome:
    state: OrderedDict[str, Any] = OrderedDict(values)
    state._metadata = OrderedDict(  # type: ignore[attr-defined]  # noqa: SLF001
        (path, {"version": version}) for path, version in versions.items()
    )
    try:
        if _takes_strict(part):
            said = part.load_state_dict(state, strict=False)
        else:
            said = part.load_state_dict(state)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as exc:
        return Outcome(errors=(f"{type(exc).__name__}: {exc!s:.600}",))
    missing = getattr(said, "missing_keys", ()) or ()
    unexpected = getattr(said, "unexpected_keys", ()) or ()
    return Outcome(tuple(missing), tuple(unexpected))


def _takes_strict(part: torch.nn.Module) -> bool:
    parameters = inspect.signature(part.load_state_dict).parameters
    return "strict" in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def _shadow(node: Node) -> Any:
    """Return a tensor of the same shape without memory; None for what has to be read."""
    if type(node) is not TensorNode or node.flavour == "ndarray":
        return None
    if node.extra is not None and "quantizer" in node.extra:
        return None
    return torch.empty(node.shape, dtype=torch_dtype(node), device="meta")


def _without_memory(part: torch.nn.Module) -> dict[int, Any]:
    """Return the memo that makes ``deepcopy`` take tensors without memory instead of copies."""
    memo: dict[int, Any] = {}
    for tensor in (*part.parameters(), *part.buffers()):
        if torch.nn.parameter.is_lazy(tensor):
            memo[id(tensor)] = type(tensor)(  # type: ignore[call-arg]
                requires_grad=tensor.requires_grad, device="meta", dtype=tensor.dtype
            )
            continue
        shadow = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
        if isinstance(tensor, torch.nn.Parameter):
            shadow = torch.nn.Parameter(shadow, requires_grad=tensor.requires_grad)
        memo[id(tensor)] = shadow
    return memo


def _code_of(part: torch.nn.Module) -> Iterator[Any]:
    """What loading may call that a copy takes over: hooks, and attributes of the modules."""
    for module in part.modules():
        for name in ("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"):
            for hook in getattr(module, name, {}).values():
                yield getattr(hook, "hook", hook)  # torch leads its own weak reference to the copy
        yield from (value for name, value in vars(module).items() if name not in _TORCH_HAS)

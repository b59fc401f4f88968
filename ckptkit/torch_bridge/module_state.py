"""What a module says of itself: its state_dict with live parameters instead of detached tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def live_state(module: torch.nn.Module) -> Mapping[str, Any]:
    """Return the state_dict whose parameters are the module's own objects, not detached ones.

    A module that overrides ``state_dict`` without ``keep_vars`` gives detached tensors; those that
    show exactly the memory of the parameter of their name are exchanged for it.
    """
    try:
        return module.state_dict(keep_vars=True)
    except TypeError:
        state = module.state_dict()  # an override of its own signature
    own = dict(module.named_parameters(remove_duplicate=False))
    found = {name: _own(value, own.get(name)) for name, value in state.items()}
    for name, value in found.items():
        if value is not state[name]:
            state[name] = value
    return state


def _own(value: Any, parameter: torch.nn.Parameter | None) -> Any:
    if parameter is None or not isinstance(value, torch.Tensor):
        return value
    same = (
        value.data_ptr() == parameter.data_ptr()
        and value.shape == parameter.shape
        and value.stride() == parameter.stride()
        and value.dtype == parameter.dtype
    )
    return parameter if same else value

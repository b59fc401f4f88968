"""Live averages of weights: what they average, what they count, what they were set to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ckptkit.torch_bridge.average import AVERAGED_MODEL, SHADOW_PARAMS
from ckptkit.torch_bridge.module_state import live_state

#: What an average counts, under the names of torch, diffusers and torch_ema.
COUNTERS = ("n_averaged", "optimization_step", "num_updates", "updates", "step")
DECIDED = ("decay", "min_decay", "update_after_step", "use_ema_warmup", "inv_gamma", "power")


def form_of(average: Any) -> str:
    """Return which form it has: torch's AveragedModel, or a list of shadow parameters."""
    is_model = isinstance(average, torch.optim.swa_utils.AveragedModel)
    return AVERAGED_MODEL if is_model else SHADOW_PARAMS


def inner_module(average: torch.optim.swa_utils.AveragedModel) -> torch.nn.Module:
    """Return the module that holds the averaged weights."""
    module: torch.nn.Module = average.module
    return module


def buffer_names(module: torch.nn.Module) -> list[str]:
    """Name what of a state_dict is no parameter."""
    state = live_state(module).items()
    return [name for name, value in state if not isinstance(value, torch.nn.Parameter)]


def shadows(average: Any) -> list[torch.Tensor]:
    """Return the averaged tensors of a list, in the order of the model's parameters."""
    return list(average.shadow_params)


def shadow_facts(average: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each averaged tensor."""
    return [(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for t in shadows(average)]


def fields_of(average: Any) -> dict[str, Any]:
    """Return what an average's state holds beside the weights."""
    state = average.state_dict()
    return {key: value for key, value in state.items() if key != SHADOW_PARAMS}


def is_setting(field: str) -> bool:
    """Say whether a field was told to the constructor; every other one is position."""
    return field in DECIDED


def set_count(average: torch.optim.swa_utils.AveragedModel, updates: int) -> None:
    """Set how many updates were averaged, in place."""
    with torch.no_grad():
        average.n_averaged.fill_(updates)


def set_fields(average: Any, fields: Mapping[str, Any]) -> None:
    """Give an average its fields; its tensors are filled already and stay where they are.

    Its own load_state_dict would copy them all; it is asked only about fields that are no
    attributes of the same name.
    """
    rest = {}
    for key, value in fields.items():
        if key in getattr(average, "__dict__", {}):
            setattr(average, key, value)
        else:
            rest[key] = value
    if rest:
        mine = average.shadow_params
        average.load_state_dict({**fields_of(average), **fields, SHADOW_PARAMS: mine})
        average.shadow_params = mine

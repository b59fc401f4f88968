"""An average of weights as the section ``ema`` has it: weights by name, updates, decay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ckptkit.torch_bridge.module_state import live_state
from ckptkit.torch_bridge.parameter_names import ParameterNames

AVERAGED_MODEL = "torch.optim.swa_utils.AveragedModel"
SHADOW_PARAMS = "shadow_params"
_PREFIX = "module."
_COUNTERS = ("optimization_step", "num_updates")  # diffusers, torch_ema


def average_state(average: Any, names: ParameterNames) -> dict[str, Any]:
    """Return the parts of an average under the names of docs/format.md.

    ``form`` says which kind it was. Raw names: AveragedModel's own prefix is taken off and kept
    as ``prefix``. A list of shadow parameters gets the names of a model in the same state whose
    parameters agree with it one to one; else it stays a list.
    """
    if isinstance(average, torch.optim.swa_utils.AveragedModel):
        return _averaged_model(average)
    state = dict(average.state_dict())
    shadow = state.pop(SHADOW_PARAMS, None)
    if shadow is None:
        return {"weights": state, "form": SHADOW_PARAMS}
    found = shadow_names(shadow, names) if isinstance(shadow, Sequence) else None
    weights = dict(zip(found, shadow, strict=True)) if found is not None else shadow
    updates = next((state[key] for key in _COUNTERS if isinstance(state.get(key), int)), None)
    known = {} if updates is None else {"updates": updates}
    return {"weights": weights, **known, **state, "form": SHADOW_PARAMS}


def _averaged_model(average: torch.optim.swa_utils.AveragedModel) -> dict[str, Any]:
    own: Mapping[str, Any] = live_state(average)
    rest = {key: value for key, value in own.items() if not key.startswith(_PREFIX)}
    updates = rest.pop("n_averaged", None)
    return {
        "weights": live_state(average.module),
        **({} if updates is None else {"updates": int(updates)}),
        **rest,
        "form": AVERAGED_MODEL,
        "prefix": _PREFIX,
    }


def shadow_names(shadow: Sequence[Any], names: ParameterNames) -> list[str] | None:
    """The names of the one model whose parameters have these shapes in this order.

    The section ``model`` wins over others; of those, one alone must fit. Frozen parameters may
    be left out of an average.
    """
    shapes = [tuple(value.shape) for value in shadow if isinstance(value, torch.Tensor)]
    if len(shapes) != len(shadow):
        return None
    sections = dict.fromkeys(name.section for name in names)
    fitting = []
    for section in sorted(sections, key=lambda section: section != "model"):
        for trainable in (False, True):
            found = names.in_section(section, trainable_only=trainable)
            if list(found.values()) == shapes:
                fitting.append((section, list(found)))
                break
    if fitting and (fitting[0][0] == "model" or len(fitting) == 1):
        return fitting[0][1]
    return None

"""What kind of live object something is, which decides how it is saved and filled."""

from __future__ import annotations

from typing import Any

import torch

#: Every kind, as reports name it.
KINDS = ("average", "module", "optimizer", "scheduler", "scaler", "stateful", "tree")


def kind_of(value: Any) -> str:
    """Return one of ``KINDS``; "tree" is plain data, "stateful" anything else with a state_dict.

    An average is torch's AveragedModel, or an object with ``shadow_params`` beside its state_dict
    (the form of diffusers' EMAModel).
    """
    if not callable(getattr(value, "state_dict", None)):
        return "tree"
    if isinstance(value, torch.optim.swa_utils.AveragedModel) or hasattr(value, "shadow_params"):
        return "average"
    if isinstance(value, torch.nn.Module):
        return "module"
    if isinstance(value, torch.optim.Optimizer):
        return "optimizer"
    if isinstance(value, torch.optim.lr_scheduler.LRScheduler):
        return "scheduler"
    if isinstance(value, torch.amp.GradScaler):
        return "scaler"
    return "stateful"

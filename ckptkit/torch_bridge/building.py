"""Make a live object where its tensors shall lie: on the meta device they cost no memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def build_on(device: str, make: Callable[[], Any]) -> Any:
    """Call ``make`` so that the tensors it creates without naming a device lie on ``device``.

    Raises: whatever ``make`` raises; RuntimeError for a device that torch does not know.
    """
    with torch.device(device):
        return make()


def is_module(value: Any) -> bool:
    """Whether ``value`` is a live ``torch.nn.Module`` (an average of one, too)."""
    return isinstance(value, torch.nn.Module)


def is_optimizer(value: Any) -> bool:
    """Whether ``value`` is a live optimizer."""
    return isinstance(value, torch.optim.Optimizer)


def device_fault(device: str) -> str:
    """Why torch cannot make tensors on ``device``; "" where it can."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError) as exc:
        return str(exc).splitlines()[0]
    return ""

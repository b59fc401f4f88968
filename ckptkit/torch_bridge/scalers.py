"""Live gradient scalers: whether they run, what they were set to, and their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

SETTINGS = ("growth_factor", "backoff_factor", "growth_interval")


def is_enabled(scaler: torch.amp.GradScaler) -> bool:
    """Say whether it scales at all; one that does not has no state."""
    return bool(scaler.is_enabled())


def current_settings(scaler: torch.amp.GradScaler) -> dict[str, Any]:
    """Return what its constructor was told, without the scale, which moves."""
    return {
        "growth_factor": scaler.get_growth_factor(),
        "backoff_factor": scaler.get_backoff_factor(),
        "growth_interval": scaler.get_growth_interval(),
    }


def give_scaler(scaler: torch.amp.GradScaler, state: Mapping[str, Any]) -> None:
    """Hand the state over, by its own load_state_dict."""
    scaler.load_state_dict(dict(state))

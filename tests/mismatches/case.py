"""One case: what was saved, what is to be filled, and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass
class Live:
    """What a script holds before it resumes."""

    model: nn.Module
    optimizer: Any = None
    scheduler: Any = None
    checked: str = "model"  # whose values are compared with the truth

    def targets(self) -> dict[str, Any]:
        """What is handed to ``ckptkit.restore``."""
        named = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}
        return {name: value for name, value in named.items() if value is not None}

    def values(self) -> dict[str, Any]:
        """Everything that can be right or wrong, by name."""
        if self.checked == "model":
            return self.model.state_dict(keep_vars=False)
        if self.checked == "settings":
            return settings_of(self.optimizer, self.scheduler)
        return moments_of(self.model, self.optimizer)


def moments_of(model: nn.Module, optimizer: Any) -> dict[str, Any]:
    """What an optimizer keeps for each parameter, under the names of the model."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        f"{names[id(parameter)]}.{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def settings_of(optimizer: Any, scheduler: Any) -> dict[str, Any]:
    found = {"lr": optimizer.param_groups[0].get("initial_lr", optimizer.param_groups[0]["lr"])}
    if scheduler is not None:
        found["T_max"] = scheduler.T_max
    return found


def by_torch(saved: Mapping[str, Any], live: Live, *, strict: bool) -> None:
    """What a script of torch alone does with the file."""
    weights = saved.get("model_state_dict", saved)
    live.model.load_state_dict(weights, strict=strict)
    if live.optimizer is not None:
        live.optimizer.load_state_dict(saved["optimizer_state_dict"])
    if live.scheduler is not None:
        live.scheduler.load_state_dict(saved["scheduler_state_dict"])


Truth = Callable[[Mapping[str, Any], Live], dict[str, Any]]


def same_names(saved: Mapping[str, Any], live: Live) -> dict[str, Any]:
    """The truth where names did not change: every stored tensor of a name and shape that both have."""
    weights = saved.get("model_state_dict", saved)
    return {
        name: weights[name].to(value.dtype)
        for name, value in live.values().items()
        if name in weights and weights[name].shape == value.shape
    }


@dataclass(frozen=True, kw_only=True)
class Case:
    """``tries``: the options of ``ckptkit.restore``, one call each, until one restores.

    ``loads`` is False where the right answer is a refusal.
    """

    name: str
    story: str
    saved: Callable[[], dict[str, Any]]
    live: Callable[[], Live]
    truth: Truth = same_names
    tries: tuple[dict[str, Any], ...] = ({},)
    loads: bool = True
    torch_way: Callable[..., None] = field(default=by_torch)


def stepped(model: nn.Module, optimizer: Any, steps: int = 2) -> None:
    """Take some steps whose moments differ from parameter to parameter."""
    for step in range(steps):
        for position, parameter in enumerate(model.parameters()):
            if parameter.requires_grad:
                torch.manual_seed(1000 * step + position)
                parameter.grad = torch.rand_like(parameter)
        optimizer.step()
    optimizer.zero_grad()

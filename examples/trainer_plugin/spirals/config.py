"""What can be asked of the training; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def option(default: Any, text: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": text, **more})


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int = option(60, "epochs to reach in all")
    batch_size: int = option(32, "points in a batch")
    lr: float = option(3e-3, "learning rate")
    points: int = option(512, "points on both spirals")
    seed: int = option(0, "seed of everything")
    hidden: int = option(48, "width of both layers", resume="architecture")
    activation: str = option("tanh", "activation", choices=("tanh", "relu"), resume="architecture")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    points: int = option(1000, "fresh points to judge by")
    seed: int = option(1, "their seed")

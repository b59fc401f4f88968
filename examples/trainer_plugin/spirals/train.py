"""The training, from top to bottom; all it has of ckptkit is ``Run`` and ``restore``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ckptkit
from spirals.config import Config, EvaluateOptions
from spirals.migrators import VERSIONS


def spirals(points: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on two spirals, with noise. Shapes: (points, 2), (points,)."""
    own = torch.Generator().manual_seed(seed)
    labels = torch.arange(points) % 2
    angles = 3 * math.pi * torch.rand(points, generator=own).sqrt()
    turned = angles + math.pi * labels
    place = torch.stack([turned.cos(), turned.sin()], 1) * (angles / (3 * math.pi))[:, None]
    return place + 0.02 * torch.randn(points, 2, generator=own), labels


class Spiralist(nn.Module):
    """Two hidden layers with dropout."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        act = nn.Tanh() if config.activation == "tanh" else nn.ReLU()
        self.body = nn.Sequential(
            nn.Linear(2, config.hidden), act, nn.Dropout(0.05),
            nn.Linear(config.hidden, config.hidden), act,
        )  # fmt: skip
        self.head = nn.Linear(config.hidden, 2)

    def forward(self, place: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(4 * place))


def train(config: Config, folder: str | Path, **run_options: Any) -> None:
    torch.manual_seed(config.seed)
    model = Spiralist(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr)
    data = TensorDataset(*spirals(config.points, config.seed))
    loader = DataLoader(data, batch_size=config.batch_size, shuffle=True)
    fresh, truth = spirals(512, config.seed + 1)
    options = {"save": ckptkit.SavePolicy(best="val_accuracy", mode="max"), **run_options}
    with ckptkit.Run(
        folder, {"model": model, "optimizer": optimizer}, config=config, seed=config.seed,
        trainer="spirals", versions=VERSIONS, **options,
    ) as run:  # fmt: skip
        for _ in run.epochs(config.epochs):
            model.train()
            for place, label in run.batches(loader):
                loss = nn.functional.cross_entropy(model(place), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.log(loss=loss)
            model.eval()
            with torch.no_grad():
                run.log(val_accuracy=(model(fresh).argmax(1) == truth).float().mean())


def evaluate(checkpoint: Path, config: Config, options: EvaluateOptions) -> dict[str, Any]:
    model = Spiralist(config)
    ckptkit.restore(checkpoint, {"model": model}, trainer="spirals", mode="warm-start")
    place, truth = spirals(options.points, options.seed)
    with torch.no_grad():
        right = model.eval()(place).argmax(1) == truth
    return {"points": options.points, "accuracy": round(right.float().mean().item(), 4)}

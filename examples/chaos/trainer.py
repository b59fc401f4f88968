"""A training loop with everything in it that a resume can get wrong, small enough to be crashed.

Epochs over a DataLoader with workers, random augmentation, dropout, BatchNorm, a GradScaler,
gradient accumulation, a schedule, an average of the weights, an evaluation and its best.
``python trainer.py --out runs/trainer``; the README beside it crashes it at every file boundary.
"""

import argparse
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

import ckptkit


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Small pictures of stripes or checks, each look at one with other noise and another shift."""

    def __init__(self, first: int, count: int, *, augment: bool) -> None:
        self.first, self.count, self.augment = first, count, augment

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        label = (self.first + index) % 2
        rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
        picture = (rows if label else rows + columns).remainder(2).float()[None]
        if self.augment:
            shift = int(torch.randint(8, ()))
            picture = picture.roll(shift, dims=2) + 0.5 * torch.randn(1, 8, 8)
        return picture, label


def make_model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 2),
    )  # fmt: skip


@torch.no_grad()
def evaluate(run: ckptkit.Run, model: nn.Module, loader: DataLoader[Any]) -> None:
    """Log the mean loss of the averaged weights."""
    model.eval()
    for x, y in run.evaluate(loader):
        run.log(val_loss=nn.functional.cross_entropy(model(x), y), weight=len(x))


def write_result(path: Path, run: ckptkit.Run, state: dict[str, Any]) -> None:
    """Write every number that training made, tensors as digests of their bytes."""

    def digest(tensor: torch.Tensor) -> str:
        return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()

    found = {name: value.state_dict() for name, value in state.items()}
    streams = {"torch": torch.get_rng_state(), "python": random.getstate()[1]}
    found |= {"rng": streams, "history": run.history, "best": run.best, "samples": run.samples}
    path.write_text(json.dumps(found, default=digest))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--background", action="store_true", help="write behind the training")
    for name, value in {
        "epochs": 2, "samples": 24, "batch_size": 4, "accumulate": 2, "workers": 2,
        "every_steps": 1, "lr": 0.01,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    random.seed(0)
    torch.manual_seed(0)
    train = DataLoader(
        Pictures(0, args.samples, augment=True), batch_size=args.batch_size, shuffle=True,
        num_workers=args.workers,
    )  # fmt: skip
    check = DataLoader(Pictures(args.samples, 12, augment=False), batch_size=6)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    scheduler = OneCycleLR(
        optimizer, args.lr, total_steps=args.epochs * (len(train) // args.accumulate) + 1
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=3)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    state = {
        "model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler,
        "ema": ema,
    }  # fmt: skip
    policy = ckptkit.SavePolicy(
        every_steps=args.every_steps, best="val_loss", background=args.background
    )
    with ckptkit.Run(args.out, state, resume="auto", config=args, save=policy) as run:
        for _ in run.epochs(args.epochs):
            model.train()
            for x, y in run.batches(train):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = nn.functional.cross_entropy(model(x), y)
                scaler.scale(loss / args.accumulate).backward()
                run.log(loss=loss)
                if run.micro_batch == args.accumulate - 1:
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
                if run.stepped:
                    scheduler.step()
                    ema.update_parameters(model)
            evaluate(run, ema, check)
        write_result(args.out / "result.json", run, state)


if __name__ == "__main__":
    main()

"""Training: from settings to checkpoints, top to bottom."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import ckptkit
from ckptkit_trainers.engine.pictures import save_picture
from ckptkit_trainers.engine.place import Place, placed, vary
from ckptkit_trainers.engine.progress import watched
from ckptkit_trainers.engine.run_options import run_options as options_of
from ckptkit_trainers.engine.stepping import step
from ckptkit_trainers.engine.telling import told
from ckptkit_trainers.segmentation.config import WATCHED, Config
from ckptkit_trainers.segmentation.data import (
    Patches,
    as_seen,
    open_data,
    train_loader,
    val_loader,
)
from ckptkit_trainers.segmentation.loss import bce_and_dice
from ckptkit_trainers.segmentation.metrics import Scores
from ckptkit_trainers.segmentation.migrators import MIGRATORS, TRAINER, VERSIONS
from ckptkit_trainers.segmentation.model import begin_with, build, logits_of, side_files
from ckptkit_trainers.segmentation.overlay import overlays


def train(config: Config, folder: str | os.PathLike[str], **run_options: Any) -> None:
    """Train in ``folder``; ``run_options`` go to ``ckptkit.Run`` as they are."""
    with placed(config) as place:
        data = open_data(config)
        model = begin_with(build(config), config).to(place.device)
        vary(place, config)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        scheduler = CosineAnnealingLR(optimizer, max(1, config.epochs))
        scaler = place.scaler()
        called = place.spread(model)
        batches, held_out = (
            train_loader(config, data.train, place), val_loader(config, data.val, place)
        )  # fmt: skip
        state = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        state |= {"scaler": scaler} if scaler.is_enabled() else {}
        options = told_to_the_run(config, lambda: probe(model, place.device), run_options)
        with ckptkit.Run(folder, state, **options) as run:
            for note in data.notes:
                run.tell(note)
            stand_at(scheduler, run.epoch, max(1, config.epochs))
            for epoch in run.epochs(config.epochs):
                model.train()
                title = f"epoch {epoch + 1} of {config.epochs}"
                shown = config.progress and place.leads
                for images, masks in watched(
                    run.batches(batches), len(batches), title, shown=shown
                ):
                    with place.autocast():
                        logits = logits_of(called, images.to(place.device))
                        loss = bce_and_dice(logits, masks.to(place.device))
                    torch.autograd.backward(scaler.scale(loss / config.accumulate))
                    if run.micro_batch == config.accumulate - 1:
                        step(model, optimizer, scaler, config.clip)
                    run.log(train_loss=loss, weight=len(images))
                run.log(lr=scheduler.get_last_lr()[0])
                scheduler.step()
                found = validate(model, run, held_out, place, config)
                run.log(found)
                run.tell(f"{title}: " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()))
                if place.leads and config.sample_every and (epoch + 1) % config.sample_every == 0:
                    picture = samples(model, data.val, place, config)
                    save_picture(picture, run.folder / "samples" / f"epoch_{epoch + 1:03d}.png")


def told_to_the_run(
    config: Config, fixed: Callable[[], torch.Tensor], asked: dict[str, Any]
) -> dict[str, Any]:
    """The keywords of ``ckptkit.Run``: what follows from the settings, and what was ``asked``."""
    return {
        "trainer": TRAINER, "versions": VERSIONS, "side_files": side_files(config), "probe": fixed,
        **options_of(config, best=config.best, mode=WATCHED[config.best]), **asked,
        "restore": {"migrators": MIGRATORS, **asked.get("restore", {})},
    }  # fmt: skip


def stand_at(scheduler: CosineAnnealingLR, epoch: int, target: int) -> None:
    """Let the schedule stand at an epoch and end at the target, if it does not.

    One that came from another program ends elsewhere: a cosine that is followed beyond its own
    end climbs again, or stays at 0. And a checkpoint may have an epoch and no schedule.
    """
    if (scheduler.T_max, scheduler.last_epoch) == (target, epoch):
        return
    groups = scheduler.optimizer.param_groups
    scheduler.T_max, scheduler.last_epoch = target, epoch
    scheduler.base_lrs = [group["initial_lr"] for group in groups]
    share = (1 + math.cos(math.pi * min(epoch, target) / target)) / 2
    for group in groups:
        group["lr"] = scheduler.eta_min + (group["initial_lr"] - scheduler.eta_min) * share
    scheduler._last_lr = [group["lr"] for group in groups]  # noqa: SLF001  what is told of an epoch


@torch.no_grad()
def validate(
    model: nn.Module, run: ckptkit.Run, loader: Any, place: Place, config: Config
) -> dict[str, float]:
    """Score the held-out patches: the same numbers in every process."""
    if place.world > 1:  # each process has running statistics of its own batches
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
    scores = Scores(config.threshold, config.boundary_px).to(place.device)
    model.eval()
    for images, drawn in told(run.evaluate(loader)):
        masks = drawn.to(place.device)
        with place.autocast():
            logits = logits_of(model, images.to(place.device))
        scores.update(logits, masks, bce_and_dice(logits, masks))
    return {f"val_{name}": value for name, value in scores.numbers().items()}


@torch.no_grad()
def samples(model: nn.Module, data: Patches, place: Place, config: Config) -> Any:
    """Draw what the model makes of the first held-out patches."""
    model.eval()
    drawn = [data[number] for number in range(min(config.sample_tiles, len(data)))]
    images, masks = (torch.stack(part) for part in zip(*drawn, strict=True))
    chances = logits_of(model, images.to(place.device)).float().sigmoid().cpu()
    return overlays(as_seen(images), masks, chances >= config.threshold)


@torch.no_grad()
def probe(model: nn.Module, device: torch.device) -> torch.Tensor:
    """Compute something fixed of the weights, for the self-test of a resume."""
    training = model.training
    picture = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    found = logits_of(model.eval(), picture.to(device))
    model.train(training)
    return found

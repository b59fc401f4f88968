"""The training: noise is added to clips, and the model learns to tell it from them."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

import ckptkit
from ckptkit_trainers.diffusion.config import NAME, Config
from ckptkit_trainers.diffusion.data import (
    HeldOutClips,
    Noised,
    know,
    load_held_out,
    load_train,
    read_data,
)
from ckptkit_trainers.diffusion.draw import Painter, Way, draw, save_sheet
from ckptkit_trainers.diffusion.gifs import write_gif
from ckptkit_trainers.diffusion.loss import denoising_loss, held_out_losses
from ckptkit_trainers.diffusion.migrators import VERSIONS
from ckptkit_trainers.diffusion.model import build, frozen_encoder
from ckptkit_trainers.diffusion.noise import ddpm
from ckptkit_trainers.diffusion.prompts import prompts_of, unknown_in
from ckptkit_trainers.diffusion.words import OwnWords, Tokens
from ckptkit_trainers.engine.average import average_of
from ckptkit_trainers.engine.place import placed, vary
from ckptkit_trainers.engine.progress import watched
from ckptkit_trainers.engine.run_options import run_options as options_of
from ckptkit_trainers.engine.stepping import step

GIF_SCALE = 6


def train(config: Config, folder: str | os.PathLike[str], **run_options: Any) -> None:
    """Train below ``folder``, or go on there; ``run_options`` are handed to ``ckptkit.Run``."""
    with placed(config) as place:
        read = read_data(config)
        loader = load_train(read, config, place)
        held_out = load_held_out(HeldOutClips(read.held_out, read.tokens, config), config)
        frozen = frozen_encoder(config)
        model = build(config, frozen).to(place.device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        scheduler = CosineAnnealingLR(optimizer, T_max=max(1, config.epochs))
        scaler, average = place.scaler(), average_of(model, config.ema)
        state = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
        state |= kept(average, read.tokens, frozen)
        network, noising = place.spread(model), ddpm(config)
        judged = model if average is None else average.module
        painter = Painter(judged, frozen and frozen.to(place.device), read.tokens, place)
        vary(place, config)
        prompts = prompts_of(config, read.held_out)
        options = options_of(config, best="val_loss", mode="min")
        options |= {"trainer": NAME, "versions": VERSIONS}
        options["probe"] = lambda: draw(painter, [""], config, Way(steps=1, guidance=1))
        with ckptkit.Run(folder, state, **options | run_options) as run:
            for note in know(read, config):
                run.tell(note)
            if unknown := unknown_in(read.tokens, prompts):
                run.tell(f"words of the prompts that the model cannot know: {', '.join(unknown)}")
            for epoch in run.epochs(config.epochs):
                model.train()
                title = f"epoch {epoch + 1} of {config.epochs}"
                batches = watched(
                    run.batches(loader), len(loader), title, shown=config.progress and place.leads
                )
                for batch in batches:
                    loss = denoising_loss(network, painter, noising, Noised(*batch), config)
                    scaler.scale(loss / config.accumulate).backward()  # type: ignore[no-untyped-call]
                    if run.micro_batch == config.accumulate - 1:
                        step(model, optimizer, scaler, config.clip)
                        if average is not None and run.stepped:
                            average.update_parameters(model)
                    run.log(train_loss=loss, weight=len(batch[0]))
                run.log(lr=scheduler.get_last_lr()[0])
                scheduler.step()
                found = validate(run, painter, held_out, config)
                run.tell(f"{title}: val_loss {found:.4f}")
                if config.sample_every and (epoch + 1) % config.sample_every == 0 and place.leads:
                    show(run, painter, prompts, config, epoch + 1)


def kept(average: nn.Module | None, tokens: Tokens, frozen: nn.Module | None) -> dict[str, Any]:
    """Return what else belongs into a checkpoint, as far as there is any of it."""
    words = tokens.names if isinstance(tokens, OwnWords) else None
    parts = {"ema": average, "words": words, "text_encoder": frozen}
    return {name: part for name, part in parts.items() if part is not None}


@torch.no_grad()
def validate(
    run: ckptkit.Run, painter: Painter, held_out: DataLoader[Any], config: Config
) -> float:
    """Return the mean error on the held-out clips, with all levels of noise counted alike."""
    painter.model.eval()
    noising, measured = ddpm(config), []
    for batch in run.evaluate(held_out):
        losses = held_out_losses(painter, noising, Noised(*batch))
        run.log(val_loss=losses.mean(), weight=len(losses))
        measured.append(losses)
    return float(torch.cat(measured).mean())


@torch.no_grad()
def show(
    run: ckptkit.Run, painter: Painter, prompts: list[str], config: Config, epoch: int
) -> None:
    """Draw the prompts from the same noise as ever, into the run's ``samples/``."""
    way = Way(config.sample_steps, config.guidance, config.seed)
    clips = draw(painter, prompts, config, way)
    folder = run.folder / "samples"
    save_sheet(clips, folder / f"epoch_{epoch:03d}.png")
    for number, clip in enumerate(clips, 1):
        write_gif(clip, folder / f"epoch_{epoch:03d}_{number}.gif", scale=GIF_SCALE)

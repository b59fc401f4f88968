"""The training: patches in, noise out, the held-out photographs judged after every epoch."""

from __future__ import annotations

import os
from statistics import fmean
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import ckptkit
from ckptkit_trainers.engine.average import average_of
from ckptkit_trainers.engine.pictures import save_picture, sheet
from ckptkit_trainers.engine.place import Place, placed, vary
from ckptkit_trainers.engine.progress import watched
from ckptkit_trainers.engine.run_options import run_options as options_of
from ckptkit_trainers.engine.stepping import step
from ckptkit_trainers.restoration.config import Config
from ckptkit_trainers.restoration.data import HeldOut, load_data
from ckptkit_trainers.restoration.loss import l1_and_ssim, quality
from ckptkit_trainers.restoration.migrators import TRAINER, VERSIONS
from ckptkit_trainers.restoration.model import build
from ckptkit_trainers.restoration.photographs import notes_of

SHOWN = 4  # held-out photographs on a sheet of samples


def train(config: Config, folder: str | os.PathLike[str], **run_options: Any) -> None:
    """Train below ``folder``, or go on there; ``run_options`` are handed to ``ckptkit.Run``."""
    with placed(config) as place:
        loader, held_out = load_data(config, place)
        model = build(config).to(place.device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        scheduler = CosineAnnealingLR(optimizer, T_max=max(1, config.epochs))
        scaler = place.scaler()
        average = average_of(model, config.ema)
        judged = model if average is None else average
        state = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        state |= {"scaler": scaler} if scaler.is_enabled() else {}
        state |= {} if average is None else {"ema": average}
        network = place.spread(model)
        vary(place, config)
        options = options_of(config, best="val_loss", mode="min")
        options |= {"trainer": TRAINER, "versions": VERSIONS, "probe": lambda: probe(model, config)}
        with ckptkit.Run(folder, state, **options | run_options) as run:
            for note in notes_of(config.data):
                run.tell(note)
            for epoch in run.epochs(config.epochs):
                model.train()
                title = f"epoch {epoch + 1} of {config.epochs}"
                batches = watched(
                    run.batches(loader), len(loader), title, shown=config.progress and place.leads
                )
                for batch in batches:
                    clean, noisy = (one.to(place.device, non_blocking=True) for one in batch)
                    with place.autocast():
                        denoised = network(noisy)
                    parts = l1_and_ssim(denoised, clean, config.ssim_weight)
                    scaler.scale(parts.loss / config.accumulate).backward()  # type: ignore[no-untyped-call]
                    if run.micro_batch == config.accumulate - 1:
                        step(model, optimizer, scaler, config.clip)
                        if average is not None and run.stepped:
                            average.update_parameters(model)
                    run.log(
                        train_loss=parts.loss, train_l1=parts.l1, train_ssim=parts.ssim,
                        weight=len(clean),
                    )  # fmt: skip
                run.log(lr=scheduler.get_last_lr()[0])
                scheduler.step()
                found = validate(run, judged, held_out, config, place)
                run.tell(f"{title}: {found}")
                if config.sample_every and (epoch + 1) % config.sample_every == 0 and place.leads:
                    show(run, judged, held_out, place, epoch + 1)


@torch.no_grad()
def validate(
    run: ckptkit.Run, model: nn.Module, held_out: HeldOut, config: Config, place: Place
) -> str:
    """Judge all held-out photographs; every process does, and finds the same. Tell it in a line."""
    model.eval()
    losses, psnrs = [], []
    for clean, noisy in run.evaluate(held_out[index] for index in range(len(held_out))):
        denoised = denoise_one(model, noisy, place)
        parts = l1_and_ssim(denoised.unsqueeze(0), clean.unsqueeze(0), config.ssim_weight)
        losses.append(float(parts.loss))
        psnrs.append(quality(denoised, clean).psnr)
        run.log(val_loss=parts.loss, val_l1=parts.l1, val_ssim=parts.ssim, val_psnr=psnrs[-1])
    return f"val_loss {fmean(losses):.4f}, val_psnr {fmean(psnrs):.2f} dB"


@torch.no_grad()
def show(
    run: ckptkit.Run, model: nn.Module, held_out: HeldOut, place: Place, epoch: int
) -> None:  # fmt: skip
    """Write clean, noisy and denoised pictures side by side into the run's ``samples/``."""
    model.eval()
    rows = []
    for index in range(min(SHOWN, len(held_out))):
        clean, noisy = held_out[index]
        rows.append([clean, noisy, denoise_one(model, noisy, place)])
    smallest = [min(row[0].shape[side] for row in rows) for side in (1, 2)]
    rows = [[one[:, : smallest[0], : smallest[1]] for one in row] for row in rows]
    page = sheet(rows, ("clean", "noisy", f"denoised, epoch {epoch}"))
    save_picture(page, run.folder / "samples" / f"epoch_{epoch:03d}.png")


def denoise_one(model: nn.Module, noisy: torch.Tensor, place: Place) -> torch.Tensor:
    """Denoise one picture in the precision of the training. Shapes: (C, H, W) to the same."""
    with place.autocast():
        denoised: torch.Tensor = model(noisy.unsqueeze(0).to(place.device))
    return denoised[0].float().cpu()


@torch.no_grad()
def probe(model: nn.Module, config: Config) -> torch.Tensor:
    """Compute something fixed of the weights, for the self test of a resume."""
    parameter = next(model.parameters())
    own = torch.Generator().manual_seed(0)
    channels = 3 if config.colours == "colour" else 1
    picture = torch.rand((1, channels, 32, 32), generator=own).to(parameter.device)
    result: torch.Tensor = model(picture)
    return result

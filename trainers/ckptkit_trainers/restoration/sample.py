"""``ckptkit sample``: pictures are denoised and written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ckptkit_trainers.engine.out import open_out
from ckptkit_trainers.engine.pictures import as_image, save_picture, sheet
from ckptkit_trainers.engine.settings import check_settings
from ckptkit_trainers.restoration.config import Config, SampleOptions, least_side
from ckptkit_trainers.restoration.data import LEVELS, with_noise
from ckptkit_trainers.restoration.denoise import denoise, load_network
from ckptkit_trainers.restoration.loss import quality
from ckptkit_trainers.restoration.photographs import Gallery, find_photographs, pictures_in

log = logging.getLogger(__name__)


class Given(NamedTuple):
    """A picture to denoise. ``clean`` is there where the noise is ours. Shapes: (C, H, W)."""

    path: Path
    name: str  # of what is written
    noisy: torch.Tensor
    clean: torch.Tensor | None


def sample(checkpoint: Path, config: Config, options: SampleOptions) -> dict[str, Any]:
    """Write each picture denoised, and a sheet of it before and after; tell how good they are.

    Raises: InputError; as ``ckptkit.restore``.
    """
    check_settings(options)
    finished = load_network(checkpoint, config, options.device)
    log.info("checkpoint of epoch %d, step %d", finished.epoch, finished.step)
    pictures, rows = _given(config, options), []
    with open_out(options.out, checkpoint) as out:
        for given in pictures:
            denoised = denoise(finished, given.noisy, options.tile)
            rows.append(_written(given, denoised, out))
    return {
        "epoch": finished.epoch, "step": finished.step,
        "weights": finished.weights, "out": str(out), "pictures": rows,
    }  # fmt: skip


def _given(config: Config, options: SampleOptions) -> Iterator[Given]:
    asked = Path(options.input) if options.input else None
    paths = pictures_in(asked) if asked else find_photographs(config.data).held_out
    noise = options.noise
    if noise < 0:
        noise = 0.0 if asked else config.val_noise
    gallery = Gallery(paths, colours=config.colours, least=least_side(config))
    return (_picture(gallery, number, noise) for number in range(len(gallery.paths)))


def _picture(gallery: Gallery, number: int, noise: float) -> Given:
    path, clean = gallery.paths[number], gallery[number].float() / LEVELS
    alike = [one.stem for one in gallery.paths].count(path.stem)
    name = path.stem if alike == 1 else f"{path.stem}_{number + 1}"
    pair = with_noise(clean, noise, seed=number)
    return Given(path, name, pair.noisy, clean if noise else None)


def _written(given: Given, denoised: torch.Tensor, out: Path) -> dict[str, Any]:
    alone, compared = (out / f"{given.name}_{word}.png" for word in ("denoised", "compared"))
    save_picture(as_image(denoised), alone)
    own = given.name == given.path.stem  # else its name alone would not tell it from others
    row: dict[str, Any] = {"picture": given.path.name if own else str(given.path)}
    images, titles = [given.noisy, denoised], ["given", "denoised"]
    if given.clean is not None:
        images, titles = [given.clean, *images], ["clean", "noisy", "denoised"]
        before, after = (quality(one, given.clean) for one in (given.noisy, denoised))
        row |= {
            "psnr_noisy": round(before.psnr, 2), "psnr": round(after.psnr, 2),
            "ssim_noisy": round(before.ssim, 3), "ssim": round(after.ssim, 3),
        }  # fmt: skip
    save_picture(sheet([images], titles), compared)
    return {**row, "denoised": alone.name, "compared": compared.name}

"""``ckptkit evaluate``: PSNR and SSIM at several levels of noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from ckptkit.plugin import errors
from ckptkit_trainers.engine.settings import check_settings
from ckptkit_trainers.restoration.classical import METHODS, denoise_classically
from ckptkit_trainers.restoration.config import Config, EvaluateOptions, least_side
from ckptkit_trainers.restoration.data import HeldOut, Pair
from ckptkit_trainers.restoration.denoise import Finished, denoise, load_network
from ckptkit_trainers.restoration.loss import Quality, quality
from ckptkit_trainers.restoration.photographs import Gallery, find_photographs, pictures_in


def evaluate(checkpoint: Path, config: Config, options: EvaluateOptions) -> dict[str, Any]:
    """Judge whole photographs: one row for each of them and each level, and their means.

    Units: PSNR in dB. Raises: SettingError; as ``ckptkit.restore``.
    """
    check_settings(options)
    levels = levels_of(options.levels)
    finished = load_network(checkpoint, config, options.device)
    asked = Path(options.input) if options.input else None
    paths = pictures_in(asked) if asked else find_photographs(config.data).held_out
    gallery = Gallery(paths, colours=config.colours, least=least_side(config))
    rows: list[dict[str, Any]] = []
    for level in levels:
        found = list(_judged(finished, HeldOut(gallery, noise=level), level, options))
        rows += [
            _row(level, path.name, one) for path, one in zip(gallery.paths, found, strict=True)
        ]
        if len(found) > 1:
            rows.append(_row(level, "mean", _mean(found)))
    return {
        "epoch": finished.epoch, "step": finished.step,
        "weights": finished.weights, "by_noise": rows,
    }  # fmt: skip


def levels_of(text: str) -> list[float]:
    """Read the levels of noise. Raises: SettingError."""
    try:
        levels = [float(part) for part in text.split(",")]
    except ValueError:
        levels = []
    if not levels or not all(0 < level <= 255 for level in levels):
        raise errors.SettingError(
            "--levels", f"{text!r} is no list of levels", "numbers above 0 and up to 255",
            "write them as 15,25,50",
        )  # fmt: skip
    return levels


def _judged(
    finished: Finished, pairs: HeldOut, level: float, options: EvaluateOptions
) -> Iterator[dict[str, Quality]]:
    """The quality of each photograph: noisy, ours, and by the classical methods if asked for."""
    for index in range(len(pairs)):
        pair: Pair = pairs[index]
        found = {"noisy": pair.noisy, "denoised": denoise(finished, pair.noisy, options.tile)}
        for method in METHODS if options.classical else ():
            found[method] = denoise_classically(pair.noisy, level, method)
        yield {name: quality(picture, pair.clean) for name, picture in found.items()}


def _mean(found: list[dict[str, Quality]]) -> dict[str, Quality]:
    return {
        name: Quality(
            *(fmean(column) for column in zip(*(one[name] for one in found), strict=True))
        )
        for name in found[0]
    }


def _row(level: float, picture: str, found: Mapping[str, Quality]) -> dict[str, Any]:
    row: dict[str, Any] = {"noise": level, "picture": picture}
    for name, one in found.items():
        row |= {f"{name}_psnr": round(one.psnr, 2), f"{name}_ssim": round(one.ssim, 3)}
    return row

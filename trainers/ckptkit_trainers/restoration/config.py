"""The settings of the restoration trainer; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ckptkit_trainers.engine.settings import Settings, option

COLOURS = ("colour", "grey")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """What can be asked of the training. Units: noise in levels of 255, sizes in pixels."""

    epochs: int = option(20, "epochs to reach in all, not to add")
    batch_size: int = option(8, "patches in a batch")
    lr: float = option(1e-3, "learning rate at the beginning; a cosine leads it to zero")
    data: str = option("", "folder of photographs; empty: those inside the scikit-image wheel")
    colours: str = option("colour", "photographs in", choices=COLOURS, resume="architecture")
    width: int = option(24, "channels of the first level", resume="architecture")
    depth: int = option(3, "how often the U-Net halves the picture", resume="architecture")
    patch: int = option(64, "side of a training patch")
    patches: int = option(800, "patches in an epoch")
    noise_low: float = option(5.0, "least noise of a patch, its standard deviation")
    noise_high: float = option(55.0, "most noise of a patch")
    ssim_weight: float = option(0.1, "weight of 1 - SSIM beside L1")
    ema: float = option(0.998, "decay of the averaged weights, 0: no average")
    val_noise: float = option(25.0, "noise on the held-out photographs")
    val_size: int = option(192, "side of the middle of a held-out photograph, 0: all of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What ``sample`` may be asked. Units: noise in levels of 255, ``tile`` in pixels."""

    input: str = option("", "picture or folder to denoise; empty: the held-out photographs")
    out: str = option("denoised", "folder for the pictures")
    noise: float = option(-1.0, "noise to add first; -1: none to --input, else as in validation")
    tile: int = option(512, "side of what is denoised at once")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What ``evaluate`` may be asked. Units: levels of 255, ``tile`` in pixels."""

    input: str = option("", "picture or folder to judge by; empty: the held-out photographs")
    levels: str = option("15,25,50", "levels of noise, with commas between them")
    classical: bool = option(False, "total variation and non-local means beside it")
    tile: int = option(512, "side of what is denoised at once")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))

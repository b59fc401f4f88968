"""The settings of the restoration trainer; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ckptkit.plugin import errors
from ckptkit_trainers.engine.out import out_option
from ckptkit_trainers.engine.settings import Settings, option

COLOURS = ("colour", "grey")
SSIM_WINDOW = 11  # pixels; SSIM needs a picture that is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """What can be asked of the training. Units: noise in levels of 255, sizes in pixels."""

    epochs: int = option(20, "epochs to reach in all, not to add", least=1)
    batch_size: int = option(8, "patches in a batch", least=1)
    lr: float = option(2e-3, "learning rate at the beginning; a cosine leads it to zero", least=0)
    data: str = option("", "folder of photographs; empty: those inside two wheels")
    colours: str = option("colour", "photographs in", choices=COLOURS, resume="architecture")
    width: int = option(24, "channels of the first level", resume="architecture", least=1)
    depth: int = option(
        3, "how often the U-Net halves the picture", resume="architecture", least=1, most=5
    )
    patch: int = option(64, "side of a training patch", least=16)
    patches: int = option(800, "patches in an epoch", least=1)
    noise_low: float = option(5.0, "least noise of a patch, its standard deviation", least=0)
    noise_high: float = option(55.0, "most noise of a patch", least=0)
    ssim_weight: float = option(0.1, "weight of 1 - SSIM beside L1", least=0)
    ema: float = option(0.998, "decay of the averaged weights, 0: no average", least=0, most=1)
    val_noise: float = option(25.0, "noise on the held-out photographs", least=0)
    val_size: int = option(
        192, "side of the middle of a held-out photograph, 0: all of it", least=0
    )


def least_side(config: Config) -> int:
    """The smallest side of a picture that the network and SSIM can do with. Units: pixels."""
    return max(SSIM_WINDOW + 1, 1 << config.depth)


def check_config(config: Config) -> None:
    """Refuse settings that do not go together. Raises: SettingError."""
    for name, side in (("--patch", config.patch), ("--val-size", config.val_size)):
        if side and side < least_side(config):
            raise errors.SettingError(
                name, f"is {side}", f"{least_side(config)} or more at --depth {config.depth}",
                "choose a larger one, or less depth",
            )  # fmt: skip
    if config.noise_low > config.noise_high:
        raise errors.SettingError(
            "--noise-low", f"is {config.noise_low:g}, above --noise-high {config.noise_high:g}",
            "the least first", "exchange them",
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What ``sample`` may be asked. Units: noise in levels of 255, ``tile`` in pixels."""

    input: str = option("", "picture or folder to denoise; empty: the held-out photographs")
    out: str = out_option("the pictures")
    noise: float = option(-1.0, "noise to add first; -1: none to --input, else as in validation",
                           least=-1)  # fmt: skip
    tile: int = option(512, "side of what is denoised at once", least=1)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What ``evaluate`` may be asked. Units: levels of 255, ``tile`` in pixels."""

    input: str = option("", "picture or folder to judge by; empty: the held-out photographs")
    levels: str = option("15,25,50", "levels of noise, with commas between them")
    classical: bool = option(False, "total variation and non-local means beside it")
    tile: int = option(512, "side of what is denoised at once", least=1)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))

"""What can be asked of the segmentation trainer; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ckptkit_trainers.engine.out import out_option
from ckptkit_trainers.engine.settings import Settings, option

MODELS = ("segformer", "buildformer", "unet")
VARIANTS = ("micro", "b0", "b1", "b2", "b3", "b4", "b5")
WATCHED: dict[str, Literal["min", "max"]] = {
    "val_iou": "max",
    "val_f1": "max",
    "val_boundary_f1": "max",
    "val_loss": "min",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """Units: pixels for ``size``, ``window`` and ``boundary_px``; channels for ``width``."""

    epochs: int = option(12, "epochs to reach in all, not to add", least=1)
    batch_size: int = option(8, "patches in a batch", least=1)
    lr: float = option(
        1e-3, "learning rate at the start; it falls as a cosine to 0 at the target", least=0
    )
    model: str = option("unet", "architecture", choices=MODELS, resume="architecture")
    variant: str = option("b0", "size of SegFormer", choices=VARIANTS, resume="architecture")
    width: int = option(
        16, "channels of the first stage, not of SegFormer", resume="architecture", least=1
    )
    window: int = option(
        8, "side of BuildFormer's windows of attention", resume="architecture", least=1
    )
    pretrained: str = option("", "weights to begin with: a local folder or checkpoint")
    size: int = option(96, "side of the patches, a multiple of 32", least=32)
    tiles: int = option(400, "generated tiles to train on", least=1)
    val_tiles: int = option(64, "generated tiles to validate with", least=1)
    val_fraction: float = option(
        0.2, "share of images held out where the folder does not split", least=0, most=1
    )
    augment: bool = option(True, "turn and mirror the patches, change their light")
    cached_images: int = option(16, "decoded images of a data folder to keep in memory", least=1)
    best: str = option("val_iou", "what the best checkpoint is best at", choices=tuple(WATCHED))
    threshold: float = option(
        0.5, "probability from which a pixel counts as building", least=0, most=1
    )
    boundary_px: int = option(2, "how far off a boundary may lie to count as found", least=0)
    sample_tiles: int = option(4, "held-out patches in each picture of samples", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What can be asked of ``ckptkit sample``."""

    input: str = option("", "an image or a folder of images; empty: held-out patches")
    out: str = out_option("the masks and overlays")
    number: int = option(
        0, "how many; 0: all pictures of --input, or four held-out patches", least=0
    )
    threshold: float = option(
        0.0, "probability that counts as building, 0: the training's", least=0, most=1
    )
    data: str = option("", "another data folder than the training's")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What can be asked of ``ckptkit evaluate``."""

    out: str = option("", "folder for a picture of the worst patches; empty: none")
    thresholds: str = option("0.3,0.5,0.7", "probabilities that count as building")
    data: str = option("", "another data folder than the training's")
    limit: int = option(0, "at most so many patches of each split, 0: all", least=0)
    baseline: bool = option(False, "add what the colour of single pixels reaches (scikit-learn)")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))

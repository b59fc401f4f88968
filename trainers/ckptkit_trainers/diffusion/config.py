"""The settings of the diffusion trainer and of what it makes; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ckptkit_trainers.engine.settings import Settings, option

NAME = "diffusion"
PROMPTS = "three moving left; seven moving up; zero moving right; one moving down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """What can be asked of this training. Units: pixels for ``size`` and ``patch``."""

    epochs: int = option(12, "epochs to reach in all, not to add")
    batch_size: int = option(16, "clips in a batch")
    lr: float = option(2e-3, "learning rate")
    save_every_epochs: int = option(1, "a checkpoint every so many epochs, 0: none")
    sample_every: int = option(3, "sample the prompts every so many epochs, 0: never")
    clips: int = option(1280, "clips of moving digits an epoch, where no folder is given")
    val_clips: int = option(160, "held-out clips to measure on, at most")
    prompts: str = option(PROMPTS, "what to sample while training, parted by semicolons")
    frames: int = option(8, "frames of a clip", resume="architecture")
    size: int = option(16, "height and width of a frame", resume="architecture")
    color: bool = option(False, "red, green and blue instead of grey", resume="architecture")
    patch: int = option(4, "pixels of a patch's side; a patch is one place of the UNet",
                        resume="architecture")  # fmt: skip
    channels: int = option(48, "channels of the UNet's first level", resume="architecture")
    levels: int = option(1, "levels of the UNet, each of half the size", resume="architecture")
    head: int = option(8, "channels of an attention head", resume="architecture")
    dropout: float = option(0.0, "dropout inside the UNet")
    text: str = option("", "folder of a pretrained text encoder, frozen; empty: a small one "
                       "that trains along", resume="architecture")  # fmt: skip
    text_width: int = option(64, "width of what the UNet reads of a caption", resume="architecture")
    text_layers: int = option(2, "layers of the small text encoder", resume="architecture")
    caption_length: int = option(8, "words of a caption that count, its begin and end included",
                                 resume="architecture")  # fmt: skip
    vocabulary: int = option(64, "words that the small text encoder can know",
                             resume="architecture")  # fmt: skip
    prediction: str = option("v", "what the UNet predicts", choices=("v", "epsilon"),
                             resume="architecture")  # fmt: skip
    noising: str = option("cosine", "how noise grows with time", choices=("cosine", "linear"),
                          resume="architecture")  # fmt: skip
    timesteps: int = option(1000, "levels of noise", resume="architecture")
    min_snr: float = option(0.0, "bound of the min-SNR weighting of the loss, 5 is usual; 0: none")
    drop_captions: float = option(0.1, "share of clips that train without their caption")
    ema: float = option(0.99, "decay of the averaged weights, which samples are made with")
    guidance: float = option(2.0, "how much more a sample follows its caption, 1: no guidance")
    sample_steps: int = option(20, "steps of DDIM for the samples while training")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What can be asked of ``ckptkit sample``."""

    prompt: str = option("", "what to show; parted by semicolons, in turn; "
                         "empty: the prompts of the training")  # fmt: skip
    num_samples: int = option(4, "how many clips")
    guidance: float = option(2.0, "how much more a clip follows its caption, 1: no guidance")
    steps: int = option(25, "steps of DDIM")
    seed: int = option(0, "seed of the noise that the clips begin as")
    scale: int = option(8, "pixels of the GIF for each pixel of the clip")
    weights: str = option("ema", "which weights draw", choices=("ema", "model"))
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    out: str = option("samples", "folder for the GIFs and their contact sheet")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What can be asked of ``ckptkit evaluate``."""

    clips: int = option(160, "held-out clips that the loss is measured on, at most")
    samples_each: int = option(3, "generated clips for each digit and direction, 0: none")
    guidance: float = option(2.0, "how much more a clip follows its caption, 1: no guidance")
    steps: int = option(20, "steps of DDIM")
    seed: int = option(0, "seed of the noise")
    weights: str = option("ema", "which weights are measured", choices=("ema", "model"))
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))

"""The settings of the diffusion trainer and of what it makes; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ckptkit_trainers.engine.out import out_option
from ckptkit_trainers.engine.settings import Settings, option

NAME = "diffusion"
PROMPTS = "three moving left; seven moving up; zero moving right; one moving down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """What can be asked of this training. Units: pixels for ``size`` and ``patch``."""

    epochs: int = option(12, "epochs to reach in all, not to add", least=1)
    batch_size: int = option(16, "clips in a batch", least=1)
    lr: float = option(2e-3, "learning rate", least=0)
    sample_every: int = option(3, "sample the prompts every so many epochs, 0: never", least=0)
    clips: int = option(1280, "clips of moving digits an epoch, where no folder is given", least=1)
    val_clips: int = option(160, "held-out clips to measure on, at most", least=1)
    prompts: str = option("", "what to sample while training, parted by semicolons; empty: "
                          "captions of held-out clips, or four of digits")  # fmt: skip
    frames: int = option(8, "frames of a clip", resume="architecture", least=1)
    size: int = option(16, "height and width of a frame", resume="architecture", least=1)
    color: bool = option(False, "red, green and blue instead of grey", resume="architecture")
    patch: int = option(4, "pixels of a patch's side; a patch is one place of the UNet",
                        resume="architecture", least=1)  # fmt: skip
    channels: int = option(48, "channels of the UNet's first level", resume="architecture", least=1)
    levels: int = option(1, "levels of the UNet, each of half the size", resume="architecture",
                         least=1)  # fmt: skip
    head: int = option(8, "channels of an attention head", resume="architecture", least=1)
    dropout: float = option(0.0, "dropout inside the UNet", least=0, most=0.9)
    text: str = option("", "folder of a pretrained text encoder, frozen; empty: a small one "
                       "that trains along", resume="architecture")  # fmt: skip
    text_width: int = option(64, "width of what the UNet reads of a caption", resume="architecture",
                             least=1)  # fmt: skip
    text_layers: int = option(2, "layers of the small text encoder", resume="architecture", least=1)
    caption_length: int = option(8, "words of a caption that count, its begin and end included",
                                 resume="architecture", least=3)  # fmt: skip
    vocabulary: int = option(64, "words that the small text encoder can know",
                             resume="architecture", least=5)  # fmt: skip
    prediction: str = option("v", "what the UNet predicts", choices=("v", "epsilon"),
                             resume="architecture")  # fmt: skip
    noising: str = option("cosine", "how noise grows with time", choices=("cosine", "linear"),
                          resume="architecture")  # fmt: skip
    timesteps: int = option(1000, "levels of noise", resume="architecture", least=10)
    min_snr: float = option(0.0, "bound of the min-SNR weighting of the loss, 5 is usual; 0: none",
                            least=0)  # fmt: skip
    drop_captions: float = option(0.1, "share of clips that train without their caption",
                                  least=0, most=1)  # fmt: skip
    ema: float = option(0.99, "decay of the averaged weights, which samples are made with, 0: none",
                        least=0, most=1)  # fmt: skip
    guidance: float = option(2.0, "how much more a sample follows its caption, 1: no guidance",
                             least=0)  # fmt: skip
    sample_steps: int = option(20, "steps of DDIM for the samples while training", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What can be asked of ``ckptkit sample``."""

    prompt: str = option("", "what to show; parted by semicolons, in turn; "
                         "empty: the prompts of the training")  # fmt: skip
    num_samples: int = option(4, "how many clips", least=1)
    guidance: float = option(2.0, "how much more a clip follows its caption, 1: no guidance",
                             least=0)  # fmt: skip
    steps: int = option(25, "steps of DDIM", least=1)
    seed: int = option(0, "seed of the noise that the clips begin as", least=0)
    scale: int = option(8, "pixels of the GIF for each pixel of the clip", least=1)
    weights: str = option("ema", "which weights draw", choices=("ema", "model"))
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    out: str = out_option("the GIFs and their contact sheet")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What can be asked of ``ckptkit evaluate``."""

    clips: int = option(160, "held-out clips that the loss is measured on, at most", least=1)
    samples_each: int = option(3, "generated clips for each digit and direction, 0: none", least=0)
    guidance: float = option(2.0, "how much more a clip follows its caption, 1: no guidance",
                             least=0)  # fmt: skip
    steps: int = option(20, "steps of DDIM", least=1)
    seed: int = option(0, "seed of the noise", least=0)
    weights: str = option("ema", "which weights are measured", choices=("ema", "model"))
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))

"""The settings of the multimodal trainer; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ckptkit.plugin import errors
from ckptkit_trainers.engine.out import out_option
from ckptkit_trainers.engine.settings import Settings, option

SPLITS = ("train", "val", "test")
SOUND_GROUPS = 8  # of channels that the sound encoder normalises together


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """Encoders of each modality, and the space that they share."""

    epochs: int = option(40, "epochs to reach in all, not to add", least=1)
    batch_size: int = option(
        128, "pairs in a batch; the others of a batch are what is told apart", least=2
    )
    lr: float = option(2e-3, "learning rate", least=0)
    data: str = option("", "folder in Flickr8k's layout; empty: the glyphs of DejaVu Sans")
    sample_every: int = option(5, "a sheet of retrievals every so many epochs, 0: none", least=0)
    logdir: str = option("", "TensorBoard's folder; empty: logs/ of the run")

    image: str = option(
        "resnet", "image encoder", choices=("resnet", "vit", "clip"), resume="architecture"
    )
    image_from: str = option("", "folder of a pretrained image encoder (from_pretrained)")
    text_from: str = option("", "folder of a pretrained text encoder with its tokenizer")
    freeze: str = option(
        "none", "encoders that do not train", choices=("none", "image", "text", "both")
    )
    audio: bool = option(False, "a third modality: sound; may be switched on later")
    d_shared: int = option(128, "width of the shared space", resume="architecture", least=2)
    width: int = option(96, "width of the own encoders", resume="architecture", least=8)
    image_size: int = option(32, "side of the images, in pixels", resume="architecture", least=8)
    image_layers: int = option(2, "layers of the own image encoder", resume="architecture", least=1)
    text_layers: int = option(1, "layers of the own text encoder", resume="architecture", least=1)
    join_layers: int = option(1, "layers over the joined latents", resume="architecture", least=1)
    heads: int = option(4, "attention heads", resume="architecture", least=1)
    vocabulary: int = option(1000, "pieces of words of the own tokenizer", resume="architecture",
                             least=5)  # fmt: skip
    max_words: int = option(24, "pieces of a caption that are read", resume="architecture", least=3)
    dropout: float = option(0.1, "dropout", least=0, most=0.9)
    augment: float = option(1.0, "strength of shift, scale and rotation, 0: none", least=0, most=4)
    word_loss: float = option(
        0.5, "weight of guessing hidden words from the joined latents", least=0
    )
    sound_rate: int = option(8000, "samples of sound a second", resume="architecture", least=1000)
    sound_seconds: float = option(3.0, "seconds of sound that are heard", least=0.1)


def check_config(config: Config) -> None:
    """Refuse settings that do not go together. Raises: SettingError."""
    for name, width in (("width", config.width), ("d_shared", config.d_shared)):
        if width % config.heads:
            raise errors.SettingError(
                name, f"{width}", f"a multiple of heads, which is {config.heads}"
            )
    if config.audio and config.width % SOUND_GROUPS:
        raise errors.SettingError("width", f"{config.width}", f"a multiple of {SOUND_GROUPS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What to look for, and among what."""

    text: str = option("", 'find the images of this caption: "GREEK SMALL LETTER ALPHA"')
    image: str = option("", "find the captions of this picture (a file)")
    top: int = option(8, "how many to show", least=1)
    among: str = option("all", "which pairs to search", choices=("all", *SPLITS))
    out: str = out_option("the sheet and its JSON")
    device: str = option("", "where to compute; empty: as the checkpoint's settings say")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Which pairs to measure on."""

    split: str = option("test", "which pairs", choices=SPLITS)
    data: str = option("", "another folder of data; empty: as the checkpoint's settings say")
    device: str = option("", "where to compute; empty: as the checkpoint's settings say")

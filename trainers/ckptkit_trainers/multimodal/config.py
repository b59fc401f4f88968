"""The settings of the multimodal trainer; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ckptkit_trainers.engine.settings import Settings, option

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """Encoders of each modality, and the space that they share."""

    epochs: int = option(40, "epochs to reach in all, not to add")
    batch_size: int = option(128, "pairs in a batch; the others of a batch are what is told apart")
    lr: float = option(2e-3, "learning rate")
    data: str = option("", "folder in Flickr8k's layout; empty: the glyphs of DejaVu Sans")
    sample_every: int = option(5, "a sheet of retrievals every so many epochs, 0: none")
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
    d_shared: int = option(128, "width of the shared space", resume="architecture")
    width: int = option(96, "width of the own encoders", resume="architecture")
    image_size: int = option(32, "side of the images, in pixels", resume="architecture")
    image_layers: int = option(2, "layers of the own image encoder", resume="architecture")
    text_layers: int = option(1, "layers of the own text encoder", resume="architecture")
    join_layers: int = option(1, "layers over the joined latents", resume="architecture")
    heads: int = option(4, "attention heads", resume="architecture")
    vocabulary: int = option(1000, "pieces of words of the own tokenizer", resume="architecture")
    max_words: int = option(24, "pieces of a caption that are read", resume="architecture")
    dropout: float = option(0.1, "dropout")
    augment: float = option(1.0, "strength of shift, scale and rotation, 0: none")
    word_loss: float = option(0.5, "weight of guessing hidden words from the joined latents")
    sound_rate: int = option(8000, "samples of sound a second", resume="architecture")
    sound_seconds: float = option(3.0, "seconds of sound that are heard")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What to look for, and among what."""

    text: str = option("", 'find the images of this caption: "GREEK SMALL LETTER ALPHA"')
    image: str = option("", "find the captions of this picture (a file)")
    top: int = option(8, "how many to show")
    among: str = option("all", "which pairs to search", choices=("all", *SPLITS))
    out: str = option("", "folder for the sheet and its JSON; empty: samples/ of the run")
    device: str = option("", "where to compute; empty: as the checkpoint's settings say")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Which pairs to measure on."""

    split: str = option("test", "which pairs", choices=SPLITS)
    data: str = option("", "another folder of data; empty: as the checkpoint's settings say")
    device: str = option("", "where to compute; empty: as the checkpoint's settings say")

"""The settings that every trainer has, as a dataclass; imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Resume = Literal["free", "architecture"]


def option(default: Any, text: str, *, choices: Sequence[str] = (), resume: Resume = "free") -> Any:
    """Return a dataclass field that explains itself on a command line.

    ``resume``: whether it may change on resume, or is part of the architecture.
    """
    metadata = {"help": text, "choices": tuple(choices), "resume": resume}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be asked of every training. Units: minutes for ``save_every_minutes``."""

    epochs: int = option(10, "epochs to reach in all, not to add")
    batch_size: int = option(16, "samples in a batch")
    accumulate: int = option(1, "batches whose gradients make one step")
    lr: float = option(3e-4, "learning rate")
    weight_decay: float = option(0.01, "weight decay of AdamW")
    clip: float = option(1.0, "largest norm of the gradients, 0: as they are")
    precision: str = option(
        "fp32", "precision of the computation", choices=("fp32", "bf16", "fp16")
    )
    device: str = option("auto", "where to train", choices=("auto", "cpu", "cuda", "mps"))
    workers: int = option(0, "processes that load data")
    seed: int = option(0, "seed of weights, order and augmentation")
    data: str = option("", "folder of your data; empty: the data set that needs no download")
    limit: int = option(0, "train on the first so many samples alone, 0: on all")
    save_every_epochs: int = option(1, "a checkpoint every so many epochs, 0: none")
    save_every_steps: int = option(0, "a checkpoint every so many steps, 0: none")
    save_every_minutes: float = option(0.0, "a checkpoint after so many minutes, 0: none")
    background: bool = option(False, "write checkpoints behind the training")
    keep_last: int = option(0, "keep the newest so many checkpoints, 0: all")
    keep_every: int = option(0, "keep those of every so many epochs as well")
    sample_every: int = option(1, "samples to look at every so many epochs, 0: none")
    tensorboard: bool = option(True, "log to TensorBoard, in the run's logs/")
    wandb: bool = option(False, "log to Weights & Biases")
    progress: bool = option(True, "progress bars, on a terminal")

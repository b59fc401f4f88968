"""The settings that every trainer has, as a dataclass; imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ckptkit.plugin import errors

Resume = Literal["free", "architecture"]
LARGEST = 2**63 - 1  # what torch counts and seeds with


def option(
    default: Any, text: str, *, choices: Sequence[str] = (), resume: Resume = "free",
    least: float | None = None, most: float | None = None,
) -> Any:  # fmt: skip
    """Return a dataclass field that explains itself on a command line.

    ``resume``: whether it may change on resume, or is part of the architecture. ``least`` and
    ``most``: the smallest and the greatest value that makes sense.
    """
    metadata: dict[str, Any] = {"help": text, "choices": tuple(choices), "resume": resume}
    bounds = {"least": least, "most": most}
    metadata |= {name: bound for name, bound in bounds.items() if bound is not None}
    return dataclasses.field(default=default, metadata=metadata)


def check_settings(settings: Any) -> None:
    """Refuse a value of a dataclass that makes no sense. Raises: SettingError, with its option.

    Of whole numbers without a bound of their own those that torch takes: of 64 bits.
    """
    for field in dataclasses.fields(settings):
        value, told = getattr(settings, field.name), field.metadata
        least, most = (told.get(name) for name in ("least", "most"))
        if most is None and isinstance(value, int) and value > LARGEST:
            most = LARGEST
        choices = told.get("choices")
        fits = value in choices if choices else True
        fits = fits and (least is None or value >= least) and (most is None or value <= most)
        if fits:
            continue
        span = f"{least} to {most}" if most is not None else f"{least} or more"
        raise errors.SettingError(
            f"--{field.name.replace('_', '-')}", f"is {value!r}",
            f"one of: {', '.join(choices)}" if choices else span, str(told.get("help", "")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be asked of every training. Units: minutes for ``save_every_minutes``."""

    epochs: int = option(10, "epochs to reach in all, not to add", least=1)
    batch_size: int = option(16, "samples in a batch", least=1)
    accumulate: int = option(1, "batches whose gradients make one step", least=1)
    lr: float = option(3e-4, "learning rate", least=0)
    weight_decay: float = option(0.01, "weight decay of AdamW", least=0)
    clip: float = option(1.0, "largest norm of the gradients, 0: as they are", least=0)
    precision: str = option(
        "fp32", "precision of the computation", choices=("fp32", "bf16", "fp16")
    )
    device: str = option("auto", "where to train", choices=("auto", "cpu", "cuda", "mps"))
    workers: int = option(0, "processes that load data", least=0)
    seed: int = option(0, "seed of weights, order and augmentation", least=0)
    data: str = option("", "folder of your data; empty: the data set that needs no download")
    limit: int = option(0, "train on the first so many samples alone, 0: on all", least=0)
    save_every_epochs: int = option(1, "a checkpoint every so many epochs, 0: none", least=0)
    save_every_steps: int = option(0, "a checkpoint every so many steps, 0: none", least=0)
    save_every_minutes: float = option(0.0, "a checkpoint after so many minutes, 0: none", least=0)
    background: bool = option(False, "write checkpoints behind the training")
    keep_last: int = option(0, "keep the newest so many checkpoints, 0: all", least=0)
    keep_every: int = option(0, "keep those of every so many epochs as well", least=0)
    sample_every: int = option(1, "samples to look at every so many epochs, 0: none", least=0)
    tensorboard: bool = option(True, "log to TensorBoard, in the run's logs/")
    wandb: bool = option(False, "log to Weights & Biases")
    progress: bool = option(True, "progress bars, on a terminal")

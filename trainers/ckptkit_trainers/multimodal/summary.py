"""What is about to happen, in lines for a person."""

from __future__ import annotations

import ckptkit
from ckptkit_trainers.engine.place import Place
from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.source import Source


def summary(run: ckptkit.Run, config: Config, place: Place, source: Source, n_train: int) -> str:
    """Data, device, precision, batch size, learning rate, and from which epoch to which."""
    heard = "images, texts, sounds" if config.audio else "images, texts"
    rows = [
        ("Data", source.title),
        *(("", note) for note in source.notes),
        ("Modalities", heard),
        ("Train samples", str(n_train)),
        ("Val samples", str(len(source.splits["val"]))),
        ("Device", str(place.device) + (f", {place.world} processes" if place.world > 1 else "")),
        ("Precision", config.precision),
        ("Batch size", str(config.batch_size)),
        ("Learning rate", f"{config.lr:g}"),
    ]
    if run.best is not None and run.epoch:
        rows.append(("Best validation loss", f"{run.best:.4f}"))
    rows.append(("Training epochs", f"{run.epoch} -> {config.epochs}"))
    width = 1 + max(len(name) for name, _ in rows)
    lines = (f"{name + ':' if name else '':<{width}} {value}".rstrip() for name, value in rows)
    return "\n".join(lines)

"""What a checkpoint says of its trainer and its settings, read from its headers; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ckptkit.errors import MismatchError
from ckptkit.nodes import MapNode
from ckptkit.protocols import Trainer
from ckptkit.run.settings import as_settings
from ckptkit.training.build import Layer
from ckptkit.training.option import options_of
from ckptkit.tree import to_python
from ckptkit.verbs.open import load


class StoredSettings(NamedTuple):
    """The settings of a checkpoint. ``trainer`` is "" where it names none; ``ours``: a run's."""

    path: Path
    trainer: str
    values: Mapping[str, Any]
    epochs: int
    steps: int
    ours: bool


def read_stored_settings(path: Path) -> StoredSettings:
    """Read the trainer, the settings and the place of a checkpoint of any kind.

    Raises: as ``ckptkit.load``.
    """
    with load(path) as checkpoint:
        document = checkpoint.document
        node = document.get("config")
        config = None if node is None else to_python(node)
        progress = document.get("progress")
        sealed = checkpoint.sealed
        config = config if isinstance(config, Mapping) else {}
        ours = "settings" in config and "asked" in config
        return StoredSettings(
            path, "" if sealed is None else sealed.manifest.trainer,
            as_settings(config["settings"] if ours else config),
            _count(progress, "epochs_completed"), _count(progress, "optimizer_steps"), ours,
        )  # fmt: skip


def require_trainer(trainer: Trainer, stored: StoredSettings) -> None:
    """Refuse the checkpoint of another trainer. Raises: MismatchError."""
    if stored.trainer not in ("", trainer.name):
        raise MismatchError(
            stored.path, f"is a checkpoint of the trainer {stored.trainer}",
            f"one of {trainer.name}", f"go on with {stored.trainer}, or name another",
        )  # fmt: skip


def _count(progress: object, name: str) -> int:
    value = progress.get(name) if isinstance(progress, MapNode) else None
    return value if type(value) is int else 0


def stored_layer(trainer: Trainer, stored: StoredSettings) -> Layer:
    """Return the settings that a resume begins with.

    Those of a run are taken as they are. Of another program's file only what the architecture
    is made of counts: how long and how fast it trained is asked for now.
    """
    if stored.ours:
        return Layer(str(stored.path), stored.values)
    return Layer(str(stored.path), dict(_of_architecture(trainer, stored.values)))


def _of_architecture(trainer: Trainer, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for option in options_of(trainer, trainer.config):
        if option.policy == "architecture" and option.name in values:
            yield option.name, values[option.name]

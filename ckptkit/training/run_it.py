"""A trainer's own code, called: its training, and what it does with a finished checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ckptkit.errors import CkptkitError, LockedError, TrainerError
from ckptkit.protocols import Action, Trainer
from ckptkit.run.experiment import Experiment, is_experiment, list_experiments
from ckptkit.storage.lock import FolderLock
from ckptkit.training.build import Layer, build
from ckptkit.training.find import require_libraries
from ckptkit.training.named import named
from ckptkit.training.start import Start
from ckptkit.training.stored import read_stored_settings, require_trainer, stored_layer


def train(start: Start, run_options: Mapping[str, Any]) -> None:
    """Train as planned, until the target or a stop.

    Raises: LockedError, MissingExtraError, TrainerError; what the trainer and ``ckptkit.Run``
    raise.
    """
    if start.experiment is not None and os.environ.get("RANK", "0") == "0":
        _require_free(start.experiment)
    require_libraries(start.trainer)
    call = named(start.trainer, start.trainer.train, "train")
    call(start.config, start.folder, resume=start.resume, **run_options)


def _require_free(folder: Path) -> None:
    """Refuse before all else where another process trains: what is gone on from may be removed.

    Raises: LockedError. Whatever else is the matter with the folder, the run will say.
    """
    try:
        FolderLock(folder).release()
    except LockedError:
        raise
    except CkptkitError:
        return


def trained_run(start: Start) -> Experiment | None:
    """The run that a training was in: the one that wrote its settings last. None: none did."""
    if start.experiment is not None:
        return Experiment(start.experiment)
    known = [Experiment(start.folder)] if is_experiment(start.folder) else []
    known += list_experiments(start.folder)
    begun = [one for one in known if one.config_file.is_file()]
    return max(begun, key=lambda one: one.config_file.stat().st_mtime_ns, default=None)


class Deed(NamedTuple):
    """What an action was asked for, and what it gave back."""

    trainer: Trainer
    action: Action
    checkpoint: Path
    epochs: int
    steps: int
    notes: tuple[str, ...]
    config: Any
    options: Any


def plan_deed(
    trainer: Trainer, action: Action, checkpoint: Path, *,
    settings: Sequence[Layer], options: Layer,
) -> Deed:  # fmt: skip
    """Build what an action is given: the checkpoint's settings, changed by ``settings``; options.

    Raises: MismatchError for the checkpoint of another trainer; as ``build`` and ``ckptkit.load``.
    """
    stored = read_stored_settings(checkpoint)
    require_trainer(trainer, stored)
    config = build(trainer, settings, stored=stored_layer(trainer, stored))
    asked = build(trainer, [options], spec=action.options, what=f"{action.name} options")
    return Deed(
        trainer, action, checkpoint, stored.epochs, stored.steps, config.notes,
        config.config, asked.config,
    )  # fmt: skip


def do(deed: Deed) -> dict[str, Any]:
    """Call the action, and return what it found, as plain data.

    Raises: MissingExtraError, TrainerError; what the action raises.
    """
    require_libraries(deed.trainer)
    call = named(deed.trainer, deed.action.call, deed.action.name)
    found = call(deed.checkpoint, deed.config, deed.options)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise TrainerError(
            f"trainer {deed.trainer.name}, {deed.action.call}",
            f"gave back a {type(found).__name__}", "results by name", "",
        )  # fmt: skip
    return dict(found)

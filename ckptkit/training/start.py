"""A training before it begins: where, from what, with which settings; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ckptkit.errors import CkptkitError
from ckptkit.protocols import Trainer
from ckptkit.run.choose import TRIES
from ckptkit.run.decide import NEVER, WORDS, Ask, Decision, choose_newest, decide
from ckptkit.run.experiment import Experiment
from ckptkit.run.settings import Change, as_settings, compare_settings, policies_of
from ckptkit.training.build import Layer, build
from ckptkit.training.stored import (
    StoredSettings,
    read_stored_settings,
    require_trainer,
    stored_layer,
)
from ckptkit.training.subject import find_subject

NEW = "(new run)"  # stands for the folder that a new run will have


class Start(NamedTuple):
    """``resume`` is what the run is to be told; ``stored`` is None for a new run.

    ``notes`` are for the person in front of it: what was passed over, what was left out.
    """

    trainer: Trainer
    config: Any
    folder: Path
    resume: str
    stored: StoredSettings | None
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    place: Path = Path(NEW)

    @property
    def experiment(self) -> Path | None:
        """The run's folder that is gone on in; None: a new one will be made."""
        return None if self.place.name == NEW else self.place


def plan_start(
    trainer: Trainer, folder: Path, layers: Sequence[Layer], *,
    resume: str | os.PathLike[str] | None, ask: Ask | None = None,
) -> Start:  # fmt: skip
    """Decide what is gone on from, as a run would, and build the config by it.

    What is resumed brings its settings, which the layers change.
    Raises: MismatchError for the checkpoint of another trainer; as ``find_subject``,
    ``ckptkit.run.decide``, ``build`` and ``ckptkit.load``.
    """
    resume = _meant(resume)
    decision = decide(folder, resume, datetime.now().astimezone(), ask, _no_folder)
    decision, stored = _with_settings(decision)
    if stored is not None:
        require_trainer(trainer, stored)
    built = build(trainer, layers, stored=stored_layer(trainer, stored) if stored else None)
    word = _word(decision, resume)
    return Start(
        trainer, built.config, folder, word, stored,
        _changes(built.config, stored), (*_told(decision, word), *built.notes),
        decision.experiment.folder,
    )  # fmt: skip


def _meant(resume: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """What is gone on from, by the words of a run: a path may be a folder that holds runs."""
    if resume is None or os.fspath(resume) in WORDS or not os.path.lexists(resume):
        return resume
    return find_subject(os.fspath(resume)).path


def _with_settings(decision: Decision) -> tuple[Decision, StoredSettings | None]:
    """Read what is gone on from; where a training removed it meanwhile, the newest that is left."""
    for last in range(TRIES - 1, -1, -1):
        if decision.checkpoint is None:
            break
        try:
            return decision, read_stored_settings(decision.checkpoint)
        except CkptkitError:
            if not (decision.newest and last) or os.path.lexists(decision.checkpoint):
                raise
        decision = choose_newest(decision.experiment)
    return decision, None


def _no_folder(root: Path, _now: datetime) -> Experiment:
    return Experiment(root / NEW)


def _word(decision: Decision, resume: str | os.PathLike[str] | None) -> str:
    """What makes the run decide alike, without looking at every byte again."""
    if decision.checkpoint is not None:
        return str(decision.checkpoint)
    if decision.experiment.folder.name == NEW or resume is None:
        return NEVER
    return os.fspath(resume)


def _told(decision: Decision, word: str) -> list[str]:
    """What the run, which is told ``word`` alone, will not say itself."""
    notes = [f"skipped {one.path.name}: {one.reason}" for one in decision.skipped]
    goes_on = decision.checkpoint is not None and decision.experiment.folder.name != NEW
    text = decision.why if word == NEVER else decision.note if goes_on else ""
    return [text, *notes] if text else notes


def _changes(config: Any, stored: StoredSettings | None) -> tuple[Change, ...]:
    if stored is None:
        return ()
    return tuple(compare_settings(as_settings(config), stored.values, policies_of(config)))

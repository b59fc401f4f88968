"""``ckptkit.trainer``: a trainer of a plugin for a notebook or a script, as on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptkit.protocols import Trainer
from ckptkit.run.view import RunView, open_run
from ckptkit.training.build import Layer, build
from ckptkit.training.find import find_action, find_trainer
from ckptkit.training.option import Option, options_of
from ckptkit.training.run_it import do, plan_deed, train, trained_run
from ckptkit.training.start import plan_start
from ckptkit.training.subject import (
    RUNS,
    checkpoint_to_use,
    find_subject,
    use_chosen,
)

Place = str | os.PathLike[str]


class TrainerHandle:
    """One trainer: ``train``, ``resume``, ``sample`` and ``evaluate`` as methods.

    Settings are keywords; ``run`` are options of ``ckptkit.Run`` (force, self_test, max_time_s,
    restore, tell). Every method raises what the command of its name does.
    """

    def __init__(self, offer: Trainer) -> None:
        self.offer = offer

    @property
    def name(self) -> str:
        """Its name."""
        return self.offer.name

    @property
    def options(self) -> tuple[Option, ...]:
        """Its settings: name, kind, default, help and policy of each."""
        return options_of(self.offer, self.offer.config)

    def config(self, **settings: Any) -> Any:
        """Its config with these settings. Raises: SettingError."""
        return build(self.offer, [Layer(self.name, settings)]).config

    def train(
        self, folder: Place | None = None, *, resume: Place | None = None,
        run: Mapping[str, Any] | None = None, **settings: Any,
    ) -> RunView | None:  # fmt: skip
        """Train below ``folder`` (runs/NAME); ``resume`` as in ``ckptkit.Run``, None: begin anew.

        What is gone on from brings its settings. Returns the run, as ``ckptkit.open_run`` shows it.
        """
        root = Path(RUNS, self.name) if folder is None else Path(folder)
        layers = [Layer(self.name, settings)]
        start = plan_start(self.offer, root, layers, resume=resume)
        train(start, run or {})
        found = trained_run(start)
        return None if found is None else open_run(found.folder)

    def resume(
        self, path: Place = "latest", *, run: Mapping[str, Any] | None = None, **settings: Any
    ) -> RunView | None:
        """Go on with a checkpoint, a run, the folder that holds it, or the latest in runs/NAME."""
        subject = find_subject(os.fspath(path), Path(RUNS, self.name))
        return self.train(subject.root, resume=subject.path, run=run, **settings)

    def do(
        self, action: str, path: Place = "latest", *, which: str = "latest",
        settings: Mapping[str, Any] | None = None, **options: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Call an action on a checkpoint; ``settings`` change those that are stored with it."""
        subject = find_subject(os.fspath(path), Path(RUNS, self.name))

        def use(checkpoint: Path) -> dict[str, Any]:
            planned = plan_deed(
                self.offer, find_action(self.offer, action), checkpoint,
                settings=[Layer(self.name, settings or {})], options=Layer(action, options),
            )  # fmt: skip
            return do(planned)

        return use_chosen(lambda: checkpoint_to_use(subject, which), use)

    def sample(self, path: Place = "latest", **options: Any) -> dict[str, Any]:
        """Make samples with a checkpoint."""
        return self.do("sample", path, **options)

    def evaluate(self, path: Place = "latest", **options: Any) -> dict[str, Any]:
        """Measure a checkpoint."""
        return self.do("evaluate", path, **options)

    def __repr__(self) -> str:
        return f"<trainer {self.name}: {self.offer.title}>"


def trainer(name: str) -> TrainerHandle:
    """Find the trainer that a plugin offers under this name. Raises: UnknownTrainerError.

    ``ckptkit.trainer("restoration").train(epochs=3)`` is ``ckptkit train restoration --epochs 3``.
    """
    return TrainerHandle(find_trainer(name))

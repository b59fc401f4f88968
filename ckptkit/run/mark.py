"""The mark: where the last completed step left everything that is no tensor of the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ckptkit.run.loaders import Place
from ckptkit.run.rng import RngMark


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One save point. Units: completed epochs, completed optimizer steps, samples handed out.

    ``epoch_open``: the epoch under way was begun, so a resume goes on inside it. ``micro_batches``
    that were handed out since the last optimizer step; their gradients wait in the parameters.
    """

    epochs: int = 0
    steps: int = 0
    samples: int = 0
    epoch_open: bool = False
    micro_batches: int = 0
    places: Mapping[str, Place] = field(default_factory=dict)
    loaders: Mapping[str, Any] = field(default_factory=dict)  # of those that keep their own state
    ended: Mapping[str, Any] = field(default_factory=dict)  # theirs, as the last epoch left them
    means: Mapping[str, list[float]] = field(default_factory=dict)
    rng: RngMark | None = None

    def opened(self) -> Mark:
        """The same moment with the next epoch begun."""
        ended = {**self.ended, **self.loaders}
        return replace(self, epoch_open=True, places={}, loaders={}, ended=ended, means={})

    def means_values(self) -> dict[str, float]:
        """The means of the epoch so far, as numbers."""
        return {name: total / count for name, (total, count) in self.means.items() if count}

    def progress(self) -> dict[str, Any]:
        """The section ``progress``."""
        return {
            "epochs_completed": self.epochs,
            "optimizer_steps": self.steps,
            "samples": self.samples,
            "epoch_open": self.epoch_open,
            "micro_batches": self.micro_batches,
            "means": {name: list(pair) for name, pair in self.means.items()},
        }

    def data(self) -> dict[str, Any]:
        """The section ``data``: the place of every loader, by its name."""
        places = {name: place._asdict() for name, place in self.places.items()}
        data = {"places": places, "loaders": dict(self.loaders)}
        return {**data, "ended": dict(self.ended)} if self.ended else data


def mark_from(progress: Mapping[str, Any], data: Mapping[str, Any], rng: RngMark | None) -> Mark:
    """Return the mark that a checkpoint holds; what an older format lacks begins at zero.

    A checkpoint without a data position goes on at the next whole epoch.
    """
    places = {
        name: Place(
            int(one["seed"]), int(one["epoch"]), int(one["samples"]),
            int(one.get("items") or 0), str(one.get("order") or ""),
        )
        for name, one in (data.get("places") or {}).items()
    }  # fmt: skip
    return Mark(
        epochs=int(progress.get("epochs_completed") or 0),
        steps=int(progress.get("optimizer_steps") or 0),
        samples=int(progress.get("samples") or 0),
        epoch_open=bool(progress.get("epoch_open")) and bool(places or data.get("loaders")),
        micro_batches=int(progress.get("micro_batches") or 0),
        places=places,
        loaders=data.get("loaders") or {},
        ended=data.get("ended") or {},
        means=progress.get("means") or {},
        rng=rng,
    )

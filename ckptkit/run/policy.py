"""When a run saves. Pure: the clock is handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ckptkit.errors import SettingError
from ckptkit.run.metrics import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class SavePolicy:
    """When checkpoints are written; 0 or "" switches a rule off.

    Units: ``every_s`` seconds since the last save of any kind. ``best`` names the metric whose
    improvement moves ``best_model``, ``mode`` says whether smaller or larger is better.
    ``last``: every save moves ``latest_checkpoint``. ``final``: the target reached is saved too.
    ``background``: write behind the training; ``when_busy``: whether a save that comes while one is
    still being written waits for it or is left out, and said.
    Raises: SettingError.
    """

    every_epochs: int = 1
    every_steps: int = 0
    every_s: float = 0.0
    best: str = ""
    mode: Mode = "min"
    last: bool = True
    final: bool = True
    background: bool = False
    when_busy: Literal["wait", "skip"] = "wait"

    def __post_init__(self) -> None:
        require_choice("SavePolicy.mode", self.mode, MODES)
        require_choice("SavePolicy.when_busy", self.when_busy, WHEN_BUSY)
        for name in ("every_epochs", "every_steps", "every_s"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or value < 0:
                raise SettingError(
                    f"SavePolicy.{name}", f"{value!r:.40}", "a number from 0", "0 switches it off"
                )
        if not isinstance(self.best, str):
            raise SettingError(
                "SavePolicy.best", f"{self.best!r:.40}", "the name of a metric that is logged",
                'write best="val_loss", or leave it out',
            )  # fmt: skip

    @property
    def saves_by_itself(self) -> bool:
        """Whether any rule would ever write while the run goes on."""
        return bool(self.every_epochs or self.every_steps or self.every_s or self.best)


MODES = {"min": "smaller is better", "max": "larger is better"}
WHEN_BUSY = {"wait": "the training waits", "skip": "that save is left out"}


def require_choice(where: str, value: Any, choices: Mapping[str, str]) -> None:
    """Refuse what is none of a few words, with what each of them means. Raises: SettingError."""
    if value not in tuple(choices):  # it may be of a kind that has no hash
        told = ", ".join(f'"{word}" ({meaning})' for word, meaning in choices.items())
        raise SettingError(
            where, f"{value!r:.40} is none of its choices", told, "write one of them"
        )


class SavedAt(NamedTuple):
    """Where the last save was made. Units: epochs, optimizer steps, seconds of a steady clock."""

    epochs: int
    steps: int
    clock_s: float


def why_save_step(policy: SavePolicy, steps: int, clock_s: float, last: SavedAt) -> str:
    """Say why to save after this optimizer step, or "".

    A multiple of ``every_steps`` that was jumped over (several optimizer steps between two save
    points) still counts, once.
    """
    width = policy.every_steps
    if width > 0 and steps // width > last.steps // width:
        return f"every {width} steps"
    if policy.every_s > 0 and clock_s - last.clock_s >= policy.every_s and steps > last.steps:
        return f"every {policy.every_s:g} s"
    return ""


def why_save_epoch(policy: SavePolicy, epochs: int, target: int, last: SavedAt) -> str:
    """Say why to save after this epoch, or ""."""
    width = policy.every_epochs
    if width > 0 and epochs // width > last.epochs // width:
        return "every epoch" if width == 1 else f"every {width} epochs"
    if policy.final and epochs >= target:
        return "the last epoch"
    return ""

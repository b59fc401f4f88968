"""How a run behaves: every option, with its default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit.errors import SettingError
from ckptkit.run.policy import SavePolicy
from ckptkit.run.retention import Retention
from ckptkit.run.settings import Policy
from ckptkit.run.tell import Tell, to_stderr
from ckptkit.run.trackers import Tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run behaves; every field is a keyword of ``Run``.

    ``resume``: "auto", "never", "latest", "best", the name of a run or of a checkpoint, a path;
    None asks on a terminal and begins anew elsewhere. ``config``: the settings, as a mapping, a
    dataclass or a namespace. ``policies``: which of them are "free" or "architecture"; ``force``
    overrides a refusal. ``generators``: random generators of the script's own, by name.
    ``restore``: options of ``ckptkit.restore``. ``trackers``: "tensorboard", "wandb", or your own.
    ``max_time_s``: save and leave in time. ``row_steps``: the width of a row in a loop of steps.
    ``probe``: computes something fixed from the live objects; ``self_test`` compares it, to the
    bit, with what it gave when the checkpoint was saved, and refuses to train on if it differs.
    ``tell``: called with every message, one paragraph each.
    Raises: SettingError for a self-test of nothing.
    """

    resume: str | os.PathLike[str] | None = None
    config: Any = None
    save: SavePolicy = field(default_factory=SavePolicy)
    retention: Retention = field(default_factory=Retention)
    seed: int = 0
    generators: Mapping[str, Any] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    force: bool = False
    restore: Mapping[str, Any] = field(default_factory=dict)
    trainer: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)
    side_files: Mapping[str, Any] = field(default_factory=dict)
    trackers: Sequence[Tracker | str] = ()
    max_time_s: float | None = None
    row_steps: int = 100
    probe: Callable[[], Any] | None = None
    self_test: bool = False
    tell: Tell = to_stderr
    ask: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        if self.self_test and self.probe is None:
            raise SettingError(
                "self_test", "there is no probe, so nothing would be tested",
                "a function that computes something on fixed data",
                "give one: probe=fixed_loss, or leave self_test out",
            )  # fmt: skip

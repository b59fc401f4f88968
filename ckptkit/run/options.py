"""How a run behaves: every option, with its default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ckptkit.errors import SettingError
from ckptkit.run.policy import SavePolicy, require_choice
from ckptkit.run.retention import Policy as Rule
from ckptkit.run.retention import Retention
from ckptkit.run.settings import Policy, policies_of
from ckptkit.run.tell import Tell, to_stderr
from ckptkit.run.trackers import Tracker, check_trackers


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
    ``retention``: a rule alone, such as ``KeepLast(3)``, is a ``Retention`` that keeps by it.
    Raises: SettingError for what none of them can be, and for a self-test of nothing.
    """

    resume: str | os.PathLike[str] | None = None
    config: Any = None
    save: SavePolicy = field(default_factory=SavePolicy)
    retention: Retention | Rule = field(default_factory=Retention)
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
        _check_resume(self.resume)
        if not isinstance(self.save, SavePolicy):
            raise SettingError(
                "save", f"a {type(self.save).__name__}", "a ckptkit.SavePolicy",
                'write save=ckptkit.SavePolicy(best="val_loss")',
            )  # fmt: skip
        if not isinstance(self.retention, Retention):
            object.__setattr__(self, "retention", _retention_of(self.retention))
        for name, policy in {**policies_of(self.config), **self.policies}.items():
            require_choice(f"policies: {name}", policy, _POLICIES)
        check_trackers(self.trackers)
        if not isinstance(self.row_steps, int) or self.row_steps < 1:
            raise SettingError(
                "row_steps", f"{self.row_steps!r:.40}", "a whole number from 1",
                "say how many steps make a row of the history",
            )  # fmt: skip
        if self.self_test and self.probe is None:
            raise SettingError(
                "self_test", "there is no probe, so nothing would be tested",
                "a function that computes something on fixed data",
                "give one: probe=fixed_loss, or leave self_test out",
            )  # fmt: skip


_POLICIES = {
    "free": "it may change, and what is asked for now counts",
    "architecture": "a resume refuses that it has changed",
}


def _check_resume(resume: object) -> None:
    if resume is None or (isinstance(resume, (str, os.PathLike)) and os.fspath(resume)):
        return
    meant = {True: "auto", False: "never"}.get(resume) if isinstance(resume, bool) else "auto"
    raise SettingError(
        "resume", f"{resume!r:.40}",
        '"auto", "never", "latest", "best", the name of a run or of a checkpoint, a path, or None',
        f'write resume="{meant}"',
    )  # fmt: skip


def _retention_of(rule: object) -> Retention:
    if not callable(getattr(rule, "wanted", None)):
        raise SettingError(
            "retention", f"{rule!r:.40}", "a ckptkit.Retention, or a rule such as KeepLast(3)",
            "write retention=Retention(keep=KeepLast(3) | KeepBest(2))",
        )  # fmt: skip
    return Retention(keep=cast("Rule", rule))

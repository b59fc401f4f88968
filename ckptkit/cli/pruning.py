"""The course of a ``prune``: what would go is shown and asked, under the lock of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import click

from ckptkit.errors import NoCheckpointError, NotFoundError
from ckptkit.run.choose import Skipped, survey
from ckptkit.run.experiment import Experiment
from ckptkit.run.names import FOREIGN_SUFFIXES
from ckptkit.run.prune import PrunePlan, apply_prune, pin, plan_prune
from ckptkit.run.remembered import Reader, watched
from ckptkit.run.retention import (
    Either,
    Fate,
    KeepAll,
    KeepBest,
    KeepEvery,
    KeepLast,
    KeepSpans,
    Policy,
    Retention,
)
from ckptkit.storage.lock import FolderLock

Ask = Callable[[str], bool] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command line: ``policies`` are the options that say what stays, None if not given."""

    policies: Mapping[str, int | None]
    mode: Literal["min", "max"] | None = None
    pins: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What was planned and what became of it."""

    experiment: Experiment
    plan: PrunePlan
    metric: str  # the one that is watched; "" where none is
    dry_run: bool
    others: tuple[str, ...] = ()  # files of other programs
    pinned: tuple[str, ...] = ()
    done: list[Fate] = field(default_factory=list)
    declined: bool = False
    damaged_meanwhile: tuple[Skipped, ...] = ()  # found when their weights were to be copied

    @property
    def going(self) -> list[Fate]:
        """Those that do not stay as they are."""
        return [fate for fate in self.plan.fates if fate.verdict != "keep"]


def prune(experiment: Experiment, asked: Asked, ask: Ask, *, as_json: bool) -> Outcome:
    """Pin, plan, show, ask and carry out.

    Raises: LockedError while a trainer is at work here; NotFoundError for a pin that is not
    there; click.UsageError for a policy that nothing here can answer; StorageError.
    """
    policies = any(asked.policies.values())
    changes = policies and not asked.dry_run
    with FolderLock(experiment.folder) if changes else nullcontext():
        _pin(experiment, asked)
        outcome = _plan(experiment, asked, policies=policies)
        if not as_json:
            _show(outcome, policies=policies)
        if not changes or not outcome.going:
            return outcome
        if ask is not None and not ask(_question(outcome)):
            outcome.declined = True
        else:
            _carry_out(outcome)
    if not as_json:
        _show_end(outcome)
    return outcome


def _pin(experiment: Experiment, asked: Asked) -> None:
    for name in asked.pins:
        path = experiment.checkpoints / name
        if "/" in name or name in ("", ".", "..") or not path.is_dir():
            found = survey(experiment.checkpoints)[0]
            there = ", ".join(one.path.name for one in found[:8]) or "none"
            raise NotFoundError(
                experiment.checkpoints / name, "there is no sealed checkpoint of this name",
                f"one of those that are there: {there}", "name one of them",
            )  # fmt: skip
    for name in () if asked.dry_run else asked.pins:
        pin(experiment.checkpoints / name)


def _plan(experiment: Experiment, asked: Asked, *, policies: bool) -> Outcome:
    from ckptkit.cli.progress import meter

    found, skipped = survey(experiment.checkpoints)
    others = tuple(one.path.name for one in found if one.path.name.endswith(FOREIGN_SUFFIXES))
    if not any(one.path.is_dir() for one in found) and not skipped:
        seen = "holds no sealed checkpoint"
        seen += f", but {len(others)} files of other programs" if others else ""
        raise NoCheckpointError(
            experiment.checkpoints, seen, "checkpoints that a run has saved",
            "ckptkit migrate --recursive seals what other programs saved",
        )  # fmt: skip
    metric, mode = watched(Reader(found)) or ("", "min")
    with meter("reading the newest", None) as shown:
        plan = plan_prune(
            experiment.checkpoints, _retention(asked, asked.mode or mode),
            checked=shown.advance if policies else None,
        )  # fmt: skip
    _require_scores(plan, asked)
    return Outcome(
        experiment=experiment, plan=_pinned_too(plan, asked), metric=metric,
        dry_run=asked.dry_run or not policies, others=others, pinned=asked.pins,
    )  # fmt: skip


def _retention(asked: Asked, mode: str) -> Retention:
    """The policies of the command line, joined."""
    given = {name: count or 0 for name, count in asked.policies.items()}
    made: list[tuple[int, Policy]] = [
        (given["keep_last"], KeepLast(given["keep_last"])),
        (given["keep_best"], KeepBest(given["keep_best"], "max" if mode == "max" else "min")),
        (given["every_epochs"], KeepEvery(epochs=given["every_epochs"])),
        (given["every_steps"], KeepEvery(steps=given["every_steps"])),
        (given["hours"] + given["days"], KeepSpans(hours=given["hours"], days=given["days"])),
    ]
    wanted = tuple(policy for count, policy in made if count)
    return Retention(keep=Either(wanted) if wanted else KeepAll(), full=given["full"] or None)


def _require_scores(plan: PrunePlan, asked: Asked) -> None:
    """Refuse to choose the best of checkpoints of which none says how good it is."""
    scored = any(fate.candidate.score is not None for fate in plan.fates)
    if asked.policies["keep_best"] and plan.fates and not scored:
        raise click.UsageError(
            "--keep-best: no checkpoint here says how good it is (no metric was watched)"
        )


def _pinned_too(plan: PrunePlan, asked: Asked) -> PrunePlan:
    """With --dry-run nothing is pinned yet: show what it would be."""
    fates = tuple(
        fate._replace(verdict="keep", why="pinned")
        if fate.candidate.name in asked.pins and fate.verdict != "keep" else fate
        for fate in plan.fates
    )  # fmt: skip
    return plan._replace(fates=fates)


def _question(outcome: Outcome) -> str:
    from ckptkit.cli.render_prune import going_words

    return f"{going_words(outcome.going).capitalize()}? [y/N]: "


def _carry_out(outcome: Outcome) -> None:
    from ckptkit.cli.progress import meter

    with meter("removing", len(outcome.going), "checkpoints") as shown:

        def done(fate: Fate) -> None:
            outcome.done.append(fate)
            shown.advance()

        damaged = apply_prune(outcome.experiment.checkpoints, outcome.plan, done)
    outcome.damaged_meanwhile = tuple(damaged)
    outcome.plan = outcome.plan._replace(skipped=(*outcome.plan.skipped, *damaged))


def _show(outcome: Outcome, *, policies: bool) -> None:
    from ckptkit.cli.render_prune import pinned, plan
    from ckptkit.cli.screen import show

    show(plan(outcome) if policies else pinned(outcome))


def _show_end(outcome: Outcome) -> None:
    from ckptkit.cli.render_prune import end
    from ckptkit.cli.screen import show

    show(end(outcome))

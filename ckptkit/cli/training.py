"""What ``train`` and ``resume`` do once their words are parsed: plan, say, train, say where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ckptkit.cli.call_trainer import called, say
from ckptkit.errors import SettingConflictError, SettingError
from ckptkit.protocols import Trainer
from ckptkit.run.settings import changed_architecture
from ckptkit.run.tell import ask_on_terminal, settings_table
from ckptkit.training.build import Layer
from ckptkit.training.config_file import read_settings
from ckptkit.training.option import options_of
from ckptkit.training.run_it import train, trained_run
from ckptkit.training.start import Start, plan_start

# What a run tells the author of a script, and the word for it here.
_SCRIPT_WORD = 'resume="auto"'
_SCRIPT_ADVICE = "; the same command with --resume auto goes on from there"


def settings_layers(
    config_file: str | None, pairs: dict[str, str], said: dict[str, Any]
) -> list[Layer]:
    """What was said of the settings, weakest first."""
    layers = [] if config_file is None else [read_settings(Path(config_file))]
    return [*layers, Layer("--set", pairs), Layer("option", said)]


def begin(
    trainer: Trainer, folder: Path, *, resume: str | None, said: dict[str, Any], dry_run: bool,
    as_json: bool, config_file: str | None, pairs: dict[str, str], **run: Any,
) -> None:  # fmt: skip
    """Plan a training, show the plan or do it."""
    layers = settings_layers(config_file, pairs, said)
    try:
        start = plan_start(trainer, folder, layers, resume=resume, ask=_ask(dry_run=dry_run))
    except SettingError as exc:
        raise as_usage(exc) from exc
    if dry_run:
        _show_plan(start, as_json=as_json)
        return
    if _leads():
        for note in start.notes:
            say(note.replace(_SCRIPT_WORD, "--resume"))
    try:
        called(trainer.name, lambda: train(start, _run_options(**run)))
    except SettingConflictError as exc:
        raise _with_options(exc, start) from exc
    except SettingError as exc:
        raise _of_self_test(exc, trainer) from exc
    except SystemExit as exc:  # a signal, or the time limit: its code is what ours will be
        if exc.code and _leads():
            _say_where(start, as_json=as_json, stopped=True)
        raise
    if _leads():
        _say_where(start, as_json=as_json)


def as_usage(exc: SettingError) -> Exception:
    """What was wrong on the command line itself is a matter of usage; a file has its own code."""
    if exc.where not in ("--set", "option"):
        return exc
    parts = (f"{exc.where}: {exc.seen}", f"expected {exc.expected}" if exc.expected else "")
    return click.UsageError("; ".join(filter(None, (*parts, exc.advice))))


def _with_options(exc: SettingConflictError, start: Start) -> SettingConflictError:
    """The same refusal, with the options that lead out of it in place of a script's words."""
    options = {one.name: one for one in options_of(start.trainer, start.trainer.config)}
    fixed = [c for c in changed_architecture(start.changes) if c.name in options]
    if not fixed:
        return exc
    back = " ".join(options[c.name].words(c.saved) for c in fixed)
    return SettingConflictError(
        exc.where, exc.seen, exc.expected,
        f"say {back}, or begin a new run; --force goes on if you know that the weights fit",
    )  # fmt: skip


def _of_self_test(exc: SettingError, trainer: Trainer) -> SettingError:
    """A script is told to give a probe; here a trainer has one, or has not."""
    if exc.where != "self_test":
        return exc
    seen = f"{trainer.name} has no probe, so nothing would be tested"
    return SettingError("--self-test", seen, "", "leave --self-test out")


def _ask(*, dry_run: bool) -> Any:
    return None if dry_run else ask_on_terminal()


def _leads() -> bool:
    """Whether this process speaks: under torchrun the first one alone."""
    return os.environ.get("RANK", "0") == "0"


def _run_options(
    *, allow_missing: tuple[str, ...], allow_unexpected: tuple[str, ...], **rest: Any
) -> dict[str, Any]:
    asked = {"allow_missing": allow_missing, "allow_unexpected": allow_unexpected}
    allowed = {name: globs for name, globs in asked.items() if globs}
    return {**rest, "restore": allowed, "tell": _SayHere()}


class _SayHere:
    """What a run says, without the advice that only a script can follow: ours stands behind it."""

    writes_to_stderr = True  # so that Ctrl+C is answered at once

    def __call__(self, text: str) -> None:
        say(text.replace(_SCRIPT_ADVICE, ""))


def _show_plan(start: Start, *, as_json: bool) -> None:
    from ckptkit.cli import render_training

    if as_json:
        from ckptkit.cli.json_output import emit

        emit(render_training.plan_json(start))
    else:
        from ckptkit.cli.screen import show

        show(render_training.plan(start, settings_table(start.changes)))


def _say_where(start: Start, *, as_json: bool, stopped: bool = False) -> None:
    from ckptkit.cli import render_training

    found = trained_run(start)
    if as_json:
        from ckptkit.cli.json_output import emit

        emit(render_training.outcome_json(start, found))
    elif found is not None:
        say(render_training.outcome(start, found, stopped=stopped))

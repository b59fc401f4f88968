"""A trainer's code under the command line: its exit code is ours, its crash shows its traceback."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

import click

from ckptkit.cli.signals import TerminatedError
from ckptkit.errors import CkptkitError, TrainingError
from ckptkit.run.tell import to_stderr

Result = TypeVar("Result")

_OURS = ("ckptkit.cli.", "ckptkit.training.")


def called(name: str, call: Callable[[], Result]) -> Result:
    """Call somebody's training. Raises: TrainingError after its traceback was printed.

    Our own errors, exits and signals pass through as they are.
    """
    try:
        return call()
    except (CkptkitError, click.ClickException, KeyboardInterrupt, TerminatedError):
        raise
    except SystemExit as exc:
        if isinstance(exc.code, str):
            to_stderr(exc.code)
            raise SystemExit(1) from exc
        raise
    except BaseException as exc:
        traceback.print_exception(type(exc), exc, _theirs(exc.__traceback__))
        raise TrainingError(
            f"trainer {name}", f"its training failed: {type(exc).__name__}: {exc}"[:600], "", ""
        ) from exc


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """Leave out how we came to their code."""
    begun = trace
    while trace is not None:
        if not str(trace.tb_frame.f_globals.get("__name__", "")).startswith(_OURS):
            return trace
        trace = trace.tb_next
    return begun


def say(text: str) -> None:
    """What a run says, on stderr; a terminal that hung up must not break off its last save."""
    with suppress(OSError, ValueError):
        to_stderr(text)

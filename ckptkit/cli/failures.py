"""Every failure as one paragraph: where, what was seen, what was expected, what to do."""

from __future__ import annotations

import errno
import sys
from typing import Any, NamedTuple

import click

from ckptkit import errors
from ckptkit.cli.safe_text import safe, shortened
from ckptkit.cli.signals import TerminatedError

INTERRUPTED = 130  # 128 + SIGINT, the convention of shells
DEFECT = 70  # EX_SOFTWARE of sysexits.h

_SIGNALS = ("Interrupted", "Terminated", "HungUp")
# The paragraph stays one, however long a path or what a file says of itself.
_MAX_WHERE_CHARS = 600
_MAX_SAID_CHARS = 1200
_MIN_COLUMNS = 20  # below that a terminal knows its size no better than we do
_MAX_JSON_CHARS = 8192


class Failure(NamedTuple):
    """A failure as it is shown; ``kind`` is stable and for programs."""

    kind: str
    exit_code: int
    where: str = ""
    seen: str = ""
    expected: str = ""
    advice: str = ""
    usage: str = ""
    report: Any = None  # what was refused, name by name

    @property
    def paragraph(self) -> str:
        """The one line for people."""
        seen = _bounded(self.seen, _MAX_SAID_CHARS)
        parts = [f"{_bounded(self.where, _MAX_WHERE_CHARS)}: {seen}" if self.where else seen]
        if self.expected:
            parts.append(f"expected {_bounded(self.expected, _MAX_SAID_CHARS)}")
        if self.advice:
            parts.append(_bounded(self.advice, _MAX_SAID_CHARS))
        if self.kind in _SIGNALS:
            return parts[0]
        return "error: " + "; ".join(parts)


def explain(exc: BaseException) -> Failure:
    """Turn any exception into what is shown of it."""
    if isinstance(exc, errors.CkptkitError):
        return of_error(exc)
    if isinstance(exc, click.ClickException):
        return _of_click(exc)
    if isinstance(exc, (KeyboardInterrupt, click.Abort)):
        return Failure("Interrupted", INTERRUPTED, seen="; ".join(["interrupted", *_notes(exc)]))
    if isinstance(exc, TerminatedError):
        return Failure(exc.kind, exc.exit_code, seen=": ".join(["terminated", *_notes(exc)]))
    if isinstance(exc, OSError):
        known = _of_os_error(exc)
        if known is not None:
            return known
    return _of_defect(exc)


def _notes(exc: BaseException) -> list[str]:
    """What the command said of its work when it was ended; click wraps Ctrl+C."""
    inner = exc.__cause__ if isinstance(exc, click.Abort) else exc
    return list(getattr(inner, "__notes__", ()))[:1]


def _bounded(text: str, n_chars: int) -> str:
    """Escape, with the middle left out of what nobody would read."""
    return shortened(safe(shortened(str(text), 2 * n_chars)), n_chars)


def of_error(exc: errors.CkptkitError) -> Failure:
    """One of our own errors, field by field."""
    refused = exc.report if isinstance(exc, errors.RestoreError) else None
    return Failure(
        exc.kind, exc.exit_code, exc.where, exc.seen, exc.expected, exc.all_advice, report=refused
    )


def error_json(error: errors.CkptkitError) -> dict[str, Any]:
    """One of our own errors as plain data; what is not said is left out."""
    return _failure_json(of_error(error))


def _failure_json(failure: Failure) -> dict[str, Any]:
    told = {
        name: shortened(value, _MAX_JSON_CHARS) if isinstance(value, str) else value
        for name, value in failure._asdict().items()
        if value and name not in ("usage", "report")
    }
    return told if failure.report is None else {**told, "report": failure.report.as_dict()}


def report(failure: Failure, *, as_json: bool) -> None:
    """Write a failure to stderr, and with ``--json`` as an object to stdout too."""
    if as_json:
        import json

        sys.stdout.write(json.dumps({"error": _failure_json(failure)}) + "\n")
        sys.stdout.flush()
    if failure.usage:
        sys.stderr.write(failure.usage + "\n")
    sys.stderr.write(_wrapped(failure.paragraph) + "\n")
    if failure.report is not None:
        sys.stderr.write(
            "\n" + "".join(f"{safe(line)}\n" for line in str(failure.report).splitlines())
        )


def _wrapped(paragraph: str) -> str:
    """Folded between words on a terminal; one line for whoever reads it from a pipe."""
    if not sys.stderr.isatty():
        return paragraph
    import os
    from textwrap import fill

    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return paragraph
    if width < _MIN_COLUMNS:
        return paragraph
    return fill(paragraph, width, break_long_words=False, break_on_hyphens=False)


def _of_click(exc: click.ClickException) -> Failure:
    usage = ""
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        usage = f"{exc.ctx.get_usage()}\nTry '{exc.ctx.command_path} --help' for help."
    return Failure("Usage", exc.exit_code, seen=" ".join(exc.format_message().split()), usage=usage)


def _of_os_error(exc: OSError) -> Failure | None:
    """Say what the operating system refused, where no verb has said it better."""
    # Every verb names the file that it could not write; what has no name is what we print to.
    where, seen = str(exc.filename or "stdout"), (exc.strerror or str(exc)).lower()
    if isinstance(exc, PermissionError):
        return of_error(errors.AccessDeniedError(where, seen, "", "check who may read it"))
    if isinstance(exc, FileNotFoundError):
        return of_error(errors.NotFoundError(where, seen, "", "check the path"))
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return of_error(
            errors.DiskFullError(where, seen, "", "free some space there and try again")
        )
    return None


def _of_defect(exc: BaseException) -> Failure:
    place, trace = "", exc.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if str(name).startswith("ckptkit"):
            place = f"{name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    text = " ".join(str(exc).split())[:200]
    return Failure(
        "Defect", DEFECT, place or "ckptkit",
        f"{type(exc).__name__}" + (f": {text}" if text else ""),
        "", "this is a defect of ckptkit: please report this line, and what the file is; "
        "CKPTKIT_DEBUG=1 shows the whole trace",
    )  # fmt: skip

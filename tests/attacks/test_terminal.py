"""Whatever a file holds, no command prints what a terminal would act on, and none shows a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckptkit import errors
from ckptkit.cli.main import app
from tests.attacks.case import Case
from tests.attacks.catalog import hostile_cases

COMMANDS = (
    ["inspect"], ["scan", "--all"], ["verify"], ["inspect", "--tree"], ["inspect", "--tensors"], ["list"],
    ["inspect", "--json"], ["scan", "--json"], ["verify", "--json"], ["migrate", "--dry-run"],
)  # fmt: skip
SECONDS = 15  # of processor time; four times as much by the clock
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def codes() -> set[int]:
    """Every exit code that an error of ours may have."""
    found, waiting = {0, 1, 2}, [errors.CkptkitError]
    while waiting:
        kind = waiting.pop()
        found.add(kind.exit_code)
        waiting.extend(kind.__subclasses__())
    return found - {errors.CkptkitError.exit_code}


def command_line(words: list[str]) -> tuple[int, str]:
    """Run a command in this process: (exit code, all that it printed)."""
    out = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            app.main(words)
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 1
    return code, out.getvalue()


def problem_of(words: list[str], case: Case) -> str:
    """What is wrong with the output, or ""."""
    signal.alarm(4 * SECONDS)
    started = time.process_time()
    code, text = command_line(words)
    signal.alarm(0)
    if time.process_time() - started >= SECONDS:
        return f"{case.name}: {words[:-1]} took more than {SECONDS} s"
    if code not in codes() or "Traceback" in text:
        return f"{case.name}: {words[:-1]} left with {code}: {text[-300:]!a}"
    acted = {
        c for c in text if (unicodedata.category(c) in ("Cc", "Cs") and c != "\n") or c in BIDI
    }
    if acted:
        return f"{case.name}: {words[:-1]} printed {acted!a}"
    if "--json" in words and code in (0, 60, 61):
        json.loads(text)
    return ""


def is_printable_trouble(case: Case) -> bool:
    """Whether a case is about what is printed; those meet every command."""
    return case.group in (
        "terminal escapes",
        "odd key",
        "name with NUL or newline",
        "look-alike name",
    ) or any(mark in repr(case.names) for mark in ("\\x1b", "\\u202e"))


@pytest.fixture(scope="module")
def _clock() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_clock")
def test_output_is_safe(tmp_path: Path) -> None:
    wrong, runs = [], 0
    for index, case in enumerate(hostile_cases()):
        folder = tmp_path / f"{index}"
        folder.mkdir()
        path = str(case.build(folder).path)
        few = [COMMANDS[index % len(COMMANDS)]]
        for words in COMMANDS if is_printable_trouble(case) else few:
            runs += 1
            target = str(folder) if words == ["list"] else path
            wrong.append(problem_of([*words, target], case))
    assert [text for text in wrong if text] == []
    assert runs > 2000

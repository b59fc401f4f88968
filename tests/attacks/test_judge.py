"""The judge itself: a reader that misbehaves must be caught by it."""

from __future__ import annotations

import mmap
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.attacks import fuzz, judge_worker
from tests.attacks.case import Built, Case, Seen, file_of
from tests.attacks.fuzz_mutators import KINDS, mutant
from tests.attacks.fuzz_seeds import load_seeds
from tests.attacks.judge import Job, judge

CLEAN = {
    "escaped": "", "opened": True, "error": "", "tensors": [], "use_errors": [], "refused": False, "executed": [], "imported": [],
    "file_nbytes": 10, "extra_nbytes": 0, "scan": {"names": [], "danger": False, "exit_code": 0},
}  # fmt: skip
SOME = Seen("float32", (2,), "ab" * 32)


def verdict(told: dict[str, object], **fields: object) -> set[str]:
    case = Case("x", "GLOBAL", file_of(b""))._replace(**fields)
    tensors = (SOME,) if case.kind == "honest" else None
    return set(judge(Job(case, Built(Path("x"), tensors)), {**CLEAN, **told}, frozenset()).wrong)


@pytest.mark.parametrize(
    ("told", "fields", "wrong"),
    [
        ({}, {}, set()),
        ({"escaped": "ValueError"}, {}, {"handled"}),
        ({"extra_nbytes": 70 << 20}, {}, {"handled"}),
        ({"executed": ["canary"]}, {}, {"executed"}),
        ({"imported": ["this"]}, {}, {"imported"}),
        ({"tensors": [["float32", [2], "ab"]]}, {"outcome": "refused"}, {"handled"}),
        ({"opened": False, "error": "x"}, {"outcome": "opened"}, {"handled"}),
        ({}, {"names": (("os", "system"),)}, {"reported"}),
        ({}, {"alarm": True}, {"reported"}),
        ({"tensors": [["float32", [2], "ab" * 32]]}, {"kind": "honest"}, set()),
        ({"tensors": [["float32", [2], "cd" * 32]]}, {"kind": "honest"}, {"exact"}),
        ({}, {"kind": "honest"}, {"exact"}),
        (
            {
                "tensors": [["float32", [2], "ab" * 32]],
                "scan": {"names": [], "danger": True, "exit_code": 60},
            },
            {"kind": "honest"},
            {"false alarms"},
        ),
    ],
)
def test_judge_names_what_is_wrong(
    told: dict[str, object], fields: dict[str, object], wrong: set[str]
) -> None:
    assert verdict(told, **fields) == wrong


def test_watch_sees_what_no_reader_needs(tmp_path: Path) -> None:
    watch = judge_worker.Watch()
    sys.addaudithook(watch.hook)
    watch.active = True
    try:
        (tmp_path / "x").write_bytes(b"")
        eval("1")
        import subprocess

        subprocess.run(["true"], check=True)
    finally:
        watch.active = False
    seen = " ".join(watch.events)
    assert "open for writing" in seen
    assert "exec <string>" in seen
    assert "subprocess.Popen" in seen


@pytest.mark.parametrize("fault", ["raise", "busy", "waiting"])
def test_fuzz_catches_a_bad_reader(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exercise(path: Path, index: int) -> str:
        del path, index
        if fault == "raise":
            raise KeyError("x")
        while fault == "busy":
            pass
        if fault == "waiting":
            time.sleep(10)
        return "opened"

    monkeypatch.setattr(fuzz, "exercise", exercise)
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    before = {which: signal.getsignal(which) for which in (signal.SIGALRM, signal.SIGPROF)}
    try:
        _, wrong = fuzz.try_one(tmp_path, 0, 10)
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
    assert {"raise": "KeyError", "busy": "more than", "waiting": "more than"}[fault] in wrong


def test_mutants_are_the_same_every_time() -> None:
    seeds, again = load_seeds(), load_seeds()
    first = [mutant(3, index, seeds) for index in range(2000)]
    assert first[::-1] == [mutant(3, index, again) for index in reversed(range(2000))]
    kinds = {mutant(0, index, seeds)[0] for index in range(200)}
    assert len(kinds) == len(set(KINDS))


def take(nbytes: int) -> str:
    """Touch that much memory and give it back to the system at once."""
    with mmap.mmap(-1, nbytes) as memory:
        for place in range(0, nbytes, mmap.PAGESIZE):
            memory[place] = 1
    return "opened"


def test_memory_is_weighed_for_each_input_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    outcomes = []
    for megabytes in (300, 1, 150):
        monkeypatch.setattr(fuzz, "exercise", lambda *_, m=megabytes: take(m << 20))
        outcomes.append(fuzz.try_one(path, 0, 1)[1])
    assert "MB for 1 bytes" in outcomes[0]
    assert outcomes[1] == ""
    assert "MB for 1 bytes" in outcomes[2], "a larger input before it must not hide this one"

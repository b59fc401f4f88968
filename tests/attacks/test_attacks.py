"""Every hostile file is handled and every odd honest one is read exactly, without a false alarm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.attacks.case import CLASSES, Case
from tests.attacks.catalog import honest_cases, hostile_cases
from tests.attacks.judge import Finding, figures, judge_all

pytestmark = pytest.mark.xdist_group("attacks")  # all of them are judged once
FIGURES = ("handled", "executed", "imported", "reported", "exact", "false alarms")


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [*hostile_cases(), *honest_cases()]


@pytest.fixture(scope="module")
def findings(cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    return judge_all(cases, tmp_path_factory.mktemp("attacks"))


def test_every_class_has_a_file(cases: list[Case]) -> None:
    counts = Counter(case.group for case in cases if case.kind == "hostile")
    assert set(counts) == set(CLASSES)
    assert sum(counts.values()) >= 1000


def test_names_are_unique(cases: list[Case]) -> None:
    assert [name for name, times in Counter(case.name for case in cases).items() if times > 1] == []


@pytest.mark.parametrize("figure", FIGURES)
def test_figure_is_perfect(
    figure: str, findings: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    if figure == FIGURES[0]:
        with capsys.disabled():
            print("\nattacks: " + ", ".join(f"{name} {n}" for name, n in figures(findings).items()))
    wrong = [
        f"{f.case.group} / {f.case.name}: {f.wrong[figure]}" for f in findings if figure in f.wrong
    ]
    assert wrong == []


def test_payloads_are_live(cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The canary sings under Python's own unpickler; otherwise "executed 0" would mean nothing."""
    folder = tmp_path_factory.mktemp("live")
    live = [case for case in cases if case.live is not None]
    assert len(live) >= 60
    silent = [case.name for case in live if not _sings(case, folder)]
    assert silent == []


def _sings(case: Case, folder: object) -> bool:
    canary = f"{folder}/{case.name}"
    code = "import pickle, sys\ntry: pickle.loads(sys.stdin.buffer.read())\nexcept Exception: pass"
    environment = {**os.environ, "CKPTKIT_CANARY": canary}
    # A payload may start a process of its own and not wait for it (os.popen): the pipes end
    # only when the last one that holds them has ended.
    subprocess.run(
        [sys.executable, "-S", "-c", code], input=case.live, env=environment, check=False,
        capture_output=True, timeout=60,
    )  # fmt: skip
    return os.path.exists(canary)

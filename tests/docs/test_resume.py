"""docs/resume.md: its console blocks print what they say, and every test that it names exists."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from ckptkit.run.options import RunOptions
from ckptkit.run.policy import SavePolicy
from ckptkit.run.run import Run
from ckptkit.run.sections import OWN
from ckptkit.run.stop import REQUEUE_EXIT_CODE
from tests.run.console import BLOCK, blocks, masked, play
from tests.run.preloaded import Preloaded

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "resume.md").read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A run of three epochs: the docs' runs/demo."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "tests.run.trial", str(folder)]
    subprocess.run(words, env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def preloaded():
    with Preloaded() as one:
        yield one


@pytest.mark.xdist_group("resume-doc")
@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=lambda n: BLOCKS[n].commands[-1][:60])
def test_every_block_prints_what_it_says(tmp_path, demo, preloaded, number):
    block = BLOCKS[number]
    (tmp_path / "runs").mkdir()
    assert masked(play(block, tmp_path, demo, preloaded)) == masked(block.text)


def test_every_block_is_played():
    assert len(BLOCKS) >= 20
    assert len(BLOCK.findall(TEXT)) == TEXT.count("```console")


NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def test_every_test_that_is_named_exists():
    assert len(NAMED) > 50
    known = {}
    for path in {path for path, _ in NAMED}:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        known[path] = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
    assert [f"{path}::{name}" for path, name in NAMED if name not in known[path]] == []


def test_each_of_the_ten_points_has_a_test_that_names_it():
    text = (ROOT / "tests" / "run" / "test_contract.py").read_text(encoding="utf-8")
    numbers = {int(number) for number in re.findall(r"^def test_point_(\d+)_", text, re.MULTILINE)}
    assert numbers == set(range(1, 11))


def test_everything_that_a_script_may_ask_of_a_run_is_described():
    told = TEXT.split("## Adopting it")[1].split("## Options")[0]
    asked = [name for name in vars(Run) if not name.startswith("_")]
    assert [name for name in asked if f"run.{name}" not in told] == []


def test_every_trial_of_a_person_in_a_shell_is_kept():
    kept = " ".join(block.scene + block.text for block in BLOCKS)
    faults = ["SIGINT@", "SIGINT-evaluating@", "twice@", "SIGTERM@", "SIGUSR1@", "error@", "oom@"]
    scenes = ["full@", "held", "damaged=", "answer=", "best_model", "mv runs/demo"]
    options = [
        "lr",
        "batch-size",
        "precision",
        "epochs",
        "hidden",
        "max-time",
        "self-test",
        "shift",
    ]
    tried = [*faults, *scenes, *(f"--{name} " for name in options), "ckptkit prune"]
    assert [word for word in tried if word not in kept] == []


def test_every_option_and_section_is_described():
    rows = TEXT.split("## Options")[1].split("## What is stored")[0]
    options = [one.name for one in fields(RunOptions)]
    assert [name for name in options if f"`{name}`" not in rows] == []
    assert [one.name for one in fields(SavePolicy) if one.name not in rows] == []
    stored = TEXT.split("## What is stored")[1].split("## What happens")[0]
    assert [name for name in OWN if f"`{name}`" not in stored] == []
    assert str(REQUEUE_EXIT_CODE) in TEXT.split("## What happens when")[1]

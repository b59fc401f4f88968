"""Killed anywhere and resumed, a training ends in the very bits of the one that never stopped."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Every part that a resume gives back; without any of them the result must differ.
PARTS = (
    "python", "numpy", "torch", "own", "data", "means", "optimizer", "scheduler", "scaler", "ema",
    "buffers", "best", "early", "counters",
)  # fmt: skip


def python(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, env=environment, cwd=ROOT,
        check=False,
    )  # fmt: skip


@pytest.mark.xdist_group("soak")
def test_thirty_kills_change_no_bit():
    done = python("tests.run.soak.driver", "--kills", "30", "--seed", "0")
    print(done.stdout)  # the figures
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.fullmatch(
        r"30 kills \((.*)\) over (\d+) runs of 5 kinds, .*: 0 differences\n", done.stdout
    )
    assert told, done.stdout
    assert int(told[2]) >= 5


@pytest.mark.xdist_group("soak")
def test_leaving_out_any_part_is_found():
    done = python("tests.run.soak.ablation", *PARTS)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found.pop("nothing") == [], "the scene itself is not exact"
    assert [part for part, differing in found.items() if not differing] == []
    assert set(found) == set(PARTS)

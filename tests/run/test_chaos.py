"""ckpt-chaos, another project's judge of crashes, finds nothing: a few points of `make chaos`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def chaos(what, work, points):
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable,
        "CHAOS": str(Path(sys.executable).with_name("ckpt-chaos")),
    }  # fmt: skip
    return subprocess.run(
        ["bash", ROOT / "examples/chaos/chaos.sh", what, work, str(points)], text=True,
        capture_output=True, env=environment, check=False,
    )  # fmt: skip


@pytest.mark.real_library
@pytest.mark.xdist_group("soak")
@pytest.mark.parametrize(("what", "points"), [("gpt", 1), ("trainer", 1)])
def test_a_crash_at_a_file_boundary_costs_no_more_than_the_step_in_flight(tmp_path, what, points):
    done = chaos(what, tmp_path / "work", points)
    print(done.stdout)  # the table
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^PASS: (\d+)$", done.stdout, re.MULTILINE)[1] == str(points + 1)  # a control

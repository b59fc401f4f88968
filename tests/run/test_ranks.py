"""Two processes under torchrun: one writes, both stop together, and both go on to the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "ranks" / "script.py"


def train(folder, die_at=-1, signalled=-1):
    """Run the script in two processes; return (exit status, what they said)."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(SCRIPT), str(folder), str(die_at), str(signalled),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    return done.returncode, done.stderr


def digests(folder):
    return [(folder / f"digest-{rank}").read_text() for rank in range(2)]


@pytest.mark.xdist_group("ranks")
def test_a_kill_and_a_signal_to_one_of_two_processes_change_no_bit(tmp_path):
    assert train(tmp_path / "whole")[0] == 0
    expected = digests(tmp_path / "whole")
    assert expected[0] != expected[1]  # each has streams of its own

    assert train(tmp_path / "killed", die_at=9)[0] != 0
    status, said = train(tmp_path / "killed")
    assert status == 0, said
    assert "resumed from" in said
    assert digests(tmp_path / "killed") == expected

    status, said = train(tmp_path / "signalled", signalled=5)
    assert status != 0
    assert "another process was told to stop: saved interrupted_checkpoint" in said
    status, said = train(tmp_path / "signalled")
    assert status == 0, said
    assert digests(tmp_path / "signalled") == expected

"""The example scripts: adopting the run is a few lines, and changes no bit of what is trained."""

import difflib
import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.preloaded import Preloaded

ROOT = Path(__file__).parents[2]
NANOGPT = ROOT / "examples" / "nanogpt"
TEAR = ROOT / "examples" / "chaos" / "tear.py"
SMALL = [
    "--max_iters", "12", "--eval_interval", "2", "--eval_iters", "1", "--n_embd", "32",
    "--n_layer", "2", "--block_size", "32", "--batch_size", "4", "--warmup_iters", "3",
]  # fmt: skip

#: Runs a script that kills itself at the nth optimizer step or at the nth fsync.
KILLED = """
import os, runpy, signal, sys
from torch.optim.optimizer import register_optimizer_step_pre_hook
from ckptkit.storage import kernel

what, left, sys.argv = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
sync = kernel.sync

def count(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

if what == "step":
    register_optimizer_step_pre_hook(count)
else:
    kernel.sync = lambda fd: (count(), sync(fd))[1]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, env=environment,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """``run`` of a script, in a fork that need not import torch."""
    place = tmp_path_factory.mktemp("said")

    def forked(*words):
        said = place / "said.txt"
        return preloaded.run([*map(str, words)], said, cwd=place, env=dict(os.environ))

    with Preloaded() as preloaded:
        yield forked


def final_of(folder):
    return hashlib.sha256((folder / "final.pt").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def plain_result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    done = run(NANOGPT / "plain.py", "--out", folder, *SMALL)
    assert done.returncode == 0, done.stderr
    return final_of(folder)


def lines_of(name):
    return (NANOGPT / name).read_text().splitlines(keepends=True)


def test_the_diff_that_is_shown_is_the_diff_there_is():
    labels = ("--label", "plain.py", "--label", "resumable.py")
    command = ["diff", "-u", *labels, "plain.py", "resumable.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=NANOGPT, check=False)
    assert done.stdout == (NANOGPT / "adopt.diff").read_text()


def test_adopting_the_run_adds_six_lines_and_takes_one_away():
    plain, resumable = (
        [line.strip() for line in lines_of(n)] for n in ("plain.py", "resumable.py")
    )
    changes = [line for line in difflib.ndiff(plain, resumable) if line[0] in "+-" and line[2:]]
    assert [line for line in changes if line[0] == "-"] == ["- for it in range(args.max_iters):"]
    assert len([line for line in changes if line[0] == "+"]) <= 6


def test_the_resumable_script_trains_what_the_plain_one_trains(tmp_path, plain_result):
    done = run(NANOGPT / "resumable.py", "--out", tmp_path, *SMALL)
    assert done.returncode == 0, done.stderr
    assert final_of(tmp_path) == plain_result


def test_killed_inside_steps_and_saves_it_ends_in_the_bits_of_the_plain_one(
    tmp_path, plain_result, fork
):
    killer = tmp_path / "killer.py"
    killer.write_text(KILLED)
    command = (NANOGPT / "resumable.py", "--out", tmp_path / "out", *SMALL)
    for what, count in (("step", 5), ("sync", 15), ("step", 3)):
        killed = fork(killer, what, count, *command)
        assert killed.code == -signal.SIGKILL, killed.said
        # what it was writing, cut in half
        torn = run(TEAR, tmp_path / "out", sys.executable, "-c", "")
        assert re.fullmatch(
            r"[1-9] files torn\n" if what == "sync" else "0 files torn\n", torn.stdout
        )
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stderr
    assert final_of(tmp_path / "out") == plain_result

"""Two processes under torchrun: one writes, both stop together, and both go on to the same bits.

The command itself starts the training that nobody stopped, the one of which a process is killed, and
what goes on from that; the others are forks of the same launcher, which imports torch once, and have
to end in the bits of the first.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ckptkit.run.choose import choose
from ckptkit.run.kept_streams import FOLDER
from tests.run.preloaded import Preloaded

ROOT = Path(__file__).parents[2]
MOMENTS = {  # of the second process, when five steps are completed
    "computing": ("forward", 32),
    "before the optimizer's step": ("step", 10),
    "behind it": ("step", 11),
    "between two steps": ("mark", 6),
}
SLOW = pytest.mark.skipif(
    "CKPTKIT_SLOW" not in os.environ, reason="the same at other moments: make soak runs it"
)
SCRIPT = Path(__file__).parent / "ranks" / "script.py"
TOGETHER = SCRIPT.with_name("together.py")


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """``train`` in two forks."""
    place = tmp_path_factory.mktemp("said")

    def trained(folder, **how):
        words = [str(TOGETHER), str(folder), json.dumps(how)]
        return preloaded.run(words, place / "said.txt", cwd=place, env=dict(os.environ))

    with Preloaded() as preloaded:
        yield trained


def train(folder, **how):
    """Run the script in two processes; return (exit status, what they said)."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(SCRIPT), str(folder), json.dumps(how),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    return done.returncode, done.stderr


def digests(folder):
    return [(folder / f"digest-{rank}").read_text() for rank in range(2)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The ends of both processes of a training that nobody stopped."""
    folder = tmp_path_factory.mktemp("ranks")
    status, said = train(folder / "whole")
    assert status == 0, said
    found = digests(folder / "whole")
    assert found[0] != found[1]  # each has streams of its own
    return found


def kept_in(folder):
    return list(folder.glob(f"*/{FOLDER}"))


@pytest.mark.xdist_group("ranks")
def test_a_kill_and_a_signal_to_one_of_two_processes_change_no_bit(tmp_path, expected, fork):
    assert fork(tmp_path / "killed", die_at=9)[0] != 0
    assert kept_in(tmp_path / "killed")  # of the dead; it harms nobody
    status, said = fork(tmp_path / "killed")
    assert status == 0, said
    assert "resumed from" in said
    assert digests(tmp_path / "killed") == expected
    assert not kept_in(tmp_path / "killed")

    status, said = fork(tmp_path / "signalled", signalled=5)
    assert status != 0
    assert "another process was told to stop: saved interrupted_checkpoint" in said
    status, said = fork(tmp_path / "signalled")
    assert status == 0, said
    assert digests(tmp_path / "signalled") == expected


def newest_in(folder):
    (checkpoints,) = folder.glob("*/checkpoints")
    return choose(checkpoints).chosen


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize(
    "where", [next(iter(MOMENTS)), *(pytest.param(m, marks=SLOW) for m in [*MOMENTS][1:])]
)
def test_one_that_is_killed_loses_no_step_and_no_random_stream(tmp_path, expected, where):
    moment, countdown = MOMENTS[where]
    status, said = train(tmp_path, moment=moment, countdown=countdown)
    assert status != 0
    newest = newest_in(tmp_path)
    assert newest.path.name == "error_checkpoint", said
    assert newest.steps >= 5
    assert "not known" not in said

    status, said = train(tmp_path)
    assert status == 0, said
    assert "error_checkpoint: epoch" in said
    assert "random streams" not in said
    assert digests(tmp_path) == expected
    assert not kept_in(tmp_path)


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("how", ["torn", pytest.param("absent", marks=SLOW)])
def test_whose_streams_are_lost_is_told_by_the_save_and_by_the_resume(
    tmp_path, expected, fork, how
):
    status, said = fork(tmp_path, spoiled=5, spoil=how)
    assert status != 0
    assert "the random streams of process 1 at this step are not known" in said
    assert newest_in(tmp_path).steps == 5

    status, said = fork(tmp_path)
    assert status == 0, said
    assert "it has no random streams of process 1: they go on as the script seeded them" in said
    assert digests(tmp_path) != expected

"""Signals to children, workers and the end of a run; emergencies that go wrong themselves."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import ckptkit
from ckptkit.errors import DiskFullError
from ckptkit.run import saver
from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, names, raising_at
from tests.run.test_failing import OOM, gone_on, truth
from tests.run.test_stopping import stopped
from tests.signals import hear_signals

FORKED = multiprocessing.get_context("fork")


def forever(begun):
    begun.set()  # before, Python still forgets signals of its parent
    while True:
        time.sleep(0.01)  # here a signal is heard; signal.pause might begin behind it


def forked():
    begun = FORKED.Event()
    child = FORKED.Process(target=forever, args=(begun,))
    child.start()
    assert begun.wait(60)
    return child


def test_a_child_that_was_forked_from_a_run_can_be_terminated(tmp_path):
    one = Small()
    with one.run(tmp_path):
        child = forked()
        child.terminate()
        child.join(60)
        assert child.exitcode == -signal.SIGTERM


def test_a_handler_that_was_there_before_is_the_childs_too(tmp_path):
    before = signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    try:
        with Small().run(tmp_path):
            child = forked()
            child.terminate()
            child.join(60)
        assert child.exitcode == 7
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_to_the_whole_job_ends_as_a_signal_though_workers_die_of_it(tmp_path, number):
    words = [sys.executable, "-m", "tests.run.trial", str(tmp_path / "run"), "--workers", "2",
             "--epochs", "1000"]  # fmt: skip
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TRIAL_FAULT": "say@0"},
        start_new_session=True, preexec_fn=hear_signals,  # noqa: PLW1509 - it only sets handlers
    ) as process:  # fmt: skip
        for line in process.stdout:
            if line.strip() == "step 5":
                break
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert f"{number.name}: saved interrupted_checkpoint" in errors
    assert "Traceback" not in errors


class Dying(Dataset):
    """Its worker ends with the signal that its parent gets, before it has fetched a sample."""

    def __init__(self, parent):
        self.parent = parent

    def __len__(self):
        return 4

    def __getitem__(self, index):
        os.kill(self.parent, signal.SIGTERM)
        time.sleep(0.2)  # the parent hears it first, as it does in a process group
        os._exit(1)


def test_a_loader_whose_workers_died_of_the_signal_is_no_error(tmp_path):
    class Evaluating(Small):
        def loop(self, run, epochs, inside, tail):
            for _ in run.epochs(epochs):
                for batch in run.batches(self.loader):
                    self.step(run, batch, inside)
                for _batch in run.evaluate(DataLoader(Dying(os.getpid()), num_workers=1)):
                    pass

    one = Evaluating()
    assert stopped(one, tmp_path) == 143
    assert "SIGTERM: saved interrupted_checkpoint at epoch 0, step 3" in one.said
    assert signal.getsignal(signal.SIGCHLD) not in (signal.SIG_DFL, None)  # torch's own again


def test_a_signal_behind_the_loops_is_obeyed_when_the_run_is_left(tmp_path):
    class Testing(Small):
        def loop(self, run, epochs, inside, tail):
            super().loop(run, epochs, inside, tail)
            os.kill(os.getpid(), signal.SIGTERM)

    one = Testing()
    assert stopped(one, tmp_path) == 143
    assert "SIGTERM: the loops are over, nothing is lost" in one.told
    assert "final_model" in names(tmp_path)


def test_one_interrupt_after_an_early_stop_does_not_leave_at_once(tmp_path):
    one = Small()

    def tail(run):
        if run.epoch == 1:
            run.stop("no progress")
            os.kill(os.getpid(), signal.SIGINT)

    assert stopped(one, tmp_path, tail=tail) == 130
    assert {"checkpoint_epoch_2", "final_model"} <= {*names(tmp_path)}
    assert len(one.seen) == 6


def test_a_probe_that_fails_in_an_emergency_costs_the_probe_and_no_work(tmp_path):
    one, full = Small(), []

    def probe():
        if full:
            raise OOM
        return 1.0

    def inside(run, moment):
        if run.step == 4 and moment == "before":
            full.append(True)
            raise OOM

    with pytest.raises(torch.OutOfMemoryError):
        one.train(tmp_path / "run", inside=inside, probe=probe)
    assert "the probe is left out: OutOfMemoryError" in one.said
    assert "emergency_checkpoint_oom_epoch_2" in names(tmp_path / "run")
    assert gone_on(tmp_path / "run").bits() == truth(tmp_path)


@pytest.mark.parametrize("second", [MemoryError(), AttributeError("state_dict")])
def test_whatever_an_emergency_save_raises_the_error_is_what_is_seen(tmp_path, monkeypatch, second):
    one = Small()

    def broken(*_):
        raise second

    def inside(run, moment):
        if run.step == 1 and moment == "before":
            monkeypatch.setattr(saver, "begin_save", broken)
            raise ValueError("the first error")

    with pytest.raises(ValueError, match="the first error"):
        one.train(tmp_path, inside=inside)
    assert "error, and it could not be saved" in one.said


def test_any_way_of_leaving_loses_no_completed_step(tmp_path):
    class Cancelled(BaseException):
        """As asyncio and test runners have them."""

    one = Small()
    with pytest.raises(Cancelled):
        one.train(tmp_path, inside=raising_at(4, Cancelled()))
    assert "interrupted_checkpoint" in names(tmp_path)


def failing_behind(monkeypatch, name):
    """Let the disk be full for one checkpoint alone."""
    plain = saver.PendingSave.write

    def write(pending):
        if pending.target.name == name:
            raise DiskFullError("checkpoints", "the disk is full", "room")
        return plain(pending)

    monkeypatch.setattr(saver.PendingSave, "write", write)


def epochs_in(folder, name):
    with ckptkit.load(next(folder.glob(f"*/checkpoints/{name}"))) as checkpoint:
        return checkpoint.state("progress")["epochs_completed"]


def test_a_save_behind_the_training_that_fails_at_the_very_end_is_made_good(tmp_path, monkeypatch):
    one = Small()
    failing_behind(monkeypatch, "checkpoint_epoch_2")
    with pytest.raises(DiskFullError):
        one.train(tmp_path, 2, save=SavePolicy(background=True, final=False))
    assert epochs_in(tmp_path, "error_checkpoint") == 2


def test_a_script_that_exits_behind_a_save_that_fails_loses_nothing(tmp_path, monkeypatch):
    one = Small()
    failing_behind(monkeypatch, "checkpoint_epoch_2")
    with pytest.raises(SystemExit):
        one.train(tmp_path, 3, save=SavePolicy(background=True),
                  inside=raising_at(6, SystemExit(0)))  # fmt: skip
    assert "the background save before failed: checkpoints: the disk is full" in one.said
    assert epochs_in(tmp_path, "interrupted_checkpoint") == 2

"""Disks that fill up, second writers, saves behind the training, and what retention leaves."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

import ckptkit
from ckptkit.errors import DiskFullError, LockedError
from ckptkit.run import prune as prunes
from ckptkit.run import saver
from ckptkit.run.policy import SavePolicy
from ckptkit.run.retention import KeepEvery, KeepLast, Retention
from ckptkit.run.tell import GO_ON
from ckptkit.testing.faults import failing_at, intercepted
from tests.run.small import Small, came_from, names, only_run, raising_at, resumed
from tests.run.test_failing import truth
from tests.run.test_stopping import sending_at, stopped
from tests.signals import hear_signals

EVERY_STEP = SavePolicy(every_steps=1, every_epochs=0)


@pytest.mark.parametrize("background", [False, True])
def test_a_full_disk_fails_the_save_plainly_and_leaves_every_older_checkpoint(tmp_path, background):
    one, room = Small(), None

    def fill(run, moment):
        nonlocal room
        if run.step == 4 and moment == "before":
            room = intercepted(failing_at(1, errno.ENOSPC, ("write", "pwrite"), lasting=True))
            room.__enter__()

    policy = SavePolicy(every_steps=1, every_epochs=0, background=background)
    try:
        with pytest.raises(DiskFullError, match="bytes are free"):
            one.train(tmp_path / "run", save=policy, inside=fill)
    finally:
        room.__exit__(None, None, None)
    assert "error, and it could not be saved" in one.said
    found = names(tmp_path / "run")
    last = 4 if "checkpoint_step_4" in found else 3  # its save may have been in flight
    assert last == 4 or background
    assert found == [*(f"checkpoint_step_{n + 1}" for n in range(last)), "latest_checkpoint"]
    hidden = [p for p in only_run(tmp_path / "run").rglob(".*") if "stage" in p.name]
    again = resumed(tmp_path / "run", "auto", save=policy)  # with room again
    assert came_from(again)[0] == f"checkpoint_step_{last}"
    assert again.bits() == truth(tmp_path)
    assert [p for p in hidden if p.exists()] == []


# -- one writer -----------------------------------------------------------------------------------


def trial(*words, fault=""):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.run.trial", *map(str, words)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TRIAL_FAULT": fault},
        preexec_fn=hear_signals,  # noqa: PLW1509 - it only sets handlers
    )  # fmt: skip


def test_a_second_writer_is_refused_with_who_holds_it_and_a_dead_ones_lock_is_taken_over(tmp_path):
    folder = tmp_path / "run"
    with trial(folder, "--epochs", "3", "--resume", "auto", fault="wait@4") as first:
        assert first.stdout.readline().strip() == "waiting"
        with pytest.raises(LockedError, match=f"process {first.pid} on .* holds it since"):
            Small().train(folder)
        first.send_signal(signal.SIGKILL)
        first.wait(60)
    with trial(folder, "--epochs", "3", "--resume", "auto") as second:
        _, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert "resumed from " in errors


def test_the_lock_is_given_back_however_the_run_ends(tmp_path):
    Small().train(tmp_path, 1)
    for error in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            Small().train(tmp_path, 3, inside=raising_at(4, error))
    with pytest.raises(ckptkit.CkptkitError):
        Small(hidden=9).train(tmp_path, 3)  # refused while it is entered
    Small().train(tmp_path, 3)


# -- behind the training --------------------------------------------------------------------------


class Gate:
    """Holds saves back until it is opened."""

    def __init__(self, monkeypatch):
        self.opened, self.waiting = threading.Event(), threading.Event()
        plain = saver.PendingSave.write

        def write(pending):
            if threading.current_thread() is not threading.main_thread():
                self.waiting.set()
                assert self.opened.wait(60)
            return plain(pending)

        monkeypatch.setattr(saver.PendingSave, "write", write)


def test_saving_behind_the_training_gives_the_same_checkpoints_and_bits(tmp_path):
    plain, behind = Small(), Small()
    plain.train(tmp_path / "plain", save=EVERY_STEP)
    behind.train(tmp_path / "behind", save=SavePolicy(every_steps=1, background=True))
    assert behind.bits() == plain.bits()
    assert "background saves held the training up for" in behind.said
    for name in ("checkpoint_step_2", "checkpoint_step_7"):
        one, other = (only_run(tmp_path / place) / "checkpoints" / name for place in
                      ("plain", "behind"))  # fmt: skip
        for file in ("model.safetensors", "optimizer.safetensors"):
            assert (one / file).read_bytes() == (other / file).read_bytes()


def test_an_error_behind_the_training_surfaces_at_the_next_step(tmp_path, monkeypatch):
    one = Small()
    plain = saver.PendingSave.write

    def write(pending):
        if threading.current_thread() is not threading.main_thread():
            raise DiskFullError("checkpoints", "the disk is full", "room")
        return plain(pending)

    monkeypatch.setattr(saver.PendingSave, "write", write)

    def look(run, moment):
        if moment == "before" and run.step == 3:
            run._saver._behind._thread.join()

    policy = SavePolicy(every_steps=3, every_epochs=0, background=True)
    with pytest.raises(DiskFullError):
        one.train(tmp_path, save=policy, inside=look)
    assert len(one.seen) == 4
    told = "error: saved error_checkpoint as of the last completed step (epoch 1, step 4); "
    assert f"{told}{GO_ON}" in one.told


def test_a_save_while_one_is_in_flight_is_left_out_by_policy_and_the_last_one_never(
    tmp_path, monkeypatch
):
    gate = Gate(monkeypatch)
    policy = SavePolicy(every_steps=1, every_epochs=0, background=True, when_busy="skip")
    one = Small()
    one.train(tmp_path, 1, save=policy, inside=lambda run, _: gate.waiting.wait(60) and
              gate.opened.set() if run.step == 2 else None)  # fmt: skip
    assert "checkpoint_step_2 is left out: the save before it is still being written" in one.told
    assert {"checkpoint_step_1", "final_model", "checkpoint_step_3"} & {*names(tmp_path)} >= {
        "checkpoint_step_1", "final_model",
    }  # fmt: skip
    with ckptkit.load(only_run(tmp_path) / "checkpoints" / "final_model") as checkpoint:
        assert checkpoint.state("progress")["optimizer_steps"] == 3


def test_an_emergency_while_a_save_is_in_flight_waits_for_it_and_both_are_whole(
    tmp_path, monkeypatch
):
    gate = Gate(monkeypatch)
    one = Small()
    policy = SavePolicy(every_steps=2, every_epochs=0, background=True)

    def fail(run, moment):
        if run.step == 2 and moment == "before":
            assert gate.waiting.wait(60)
            threading.Timer(0.05, gate.opened.set).start()
            raise ValueError("while it is written")

    with pytest.raises(ValueError, match="while"):
        one.train(tmp_path, save=policy, inside=fail)
    folder = only_run(tmp_path) / "checkpoints"
    assert names(tmp_path) == ["checkpoint_step_2", "error_checkpoint", "latest_checkpoint"]
    assert all(not ckptkit.verify(path).damaged for path in folder.iterdir() if path.is_dir())


def test_a_signal_while_a_save_is_in_flight_joins_it_before_the_process_leaves(tmp_path):
    one = Small()
    policy = SavePolicy(every_steps=1, every_epochs=0, background=True)
    assert stopped(one, tmp_path, save=policy, inside=sending_at(4, signal.SIGTERM)) == 143
    assert {"checkpoint_step_5", "interrupted_checkpoint"} <= {*names(tmp_path)}


# -- retention ------------------------------------------------------------------------------------


def test_retention_runs_after_each_save_and_leaves_the_newest_and_the_best(tmp_path):
    retention = Retention(keep=KeepLast(2) | KeepEvery(steps=4))
    policy = SavePolicy(every_steps=1, every_epochs=0, best="val_loss")
    one = Small()
    one.train(tmp_path, 3, save=policy, retention=retention)
    best = one.last._saver.best.step
    kept = {int(name.rpartition("_")[2]) for name in names(tmp_path) if "step" in name}
    assert kept == {4, 8, 9, best} | ({9} if best == 9 else set())
    assert {"best_model", "latest_checkpoint", "final_model"} <= {*names(tmp_path)}


def test_nothing_is_removed_before_the_new_save_is_whole(tmp_path, monkeypatch):
    order = []
    plain_write, plain_prune = saver.PendingSave.write, prunes.prune_run

    def write(pending):
        report = plain_write(pending)
        order.append("whole")
        return report

    def prune(*arguments, **options):
        order.append("prune")
        plain_prune(*arguments, **options)

    monkeypatch.setattr(saver.PendingSave, "write", write)
    monkeypatch.setattr(saver, "prune_run", prune)
    Small().train(tmp_path, 1, save=EVERY_STEP, retention=Retention(keep=KeepLast(1)))
    assert order[:4] == ["whole", "prune", "whole", "prune"]


def test_the_files_for_people_are_whole_json(tmp_path):
    Small().train(tmp_path, 2, config={"rate": float("inf"), "path": os.curdir})
    run = only_run(tmp_path)
    history = json.loads((run / "history.json").read_text())
    assert history["epoch"] == [1, 2]
    assert len(history["val_loss"]) == len(history["loss"]) == 2
    assert json.loads((run / "config.json").read_text()) == {"rate": "inf", "path": "."}

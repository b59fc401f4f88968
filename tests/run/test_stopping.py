"""A run that is told to stop finishes its step, saves, and leaves with the conventional code."""

import os
import signal
import subprocess
import sys
import types
from functools import partial

import pytest
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader

from ckptkit.run import run as runs
from ckptkit.run.policy import SavePolicy
from ckptkit.run.stop import StopWatcher
from tests.run.small import Small, names, nothing, only_run
from tests.run.test_failing import gone_on, truth
from tests.signals import hear_signals

SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)


@pytest.fixture
def hangup():
    """Let tests choose what SIGHUP does; pytest itself may run under nohup."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_goes_away_stops_the_run_as_a_signal_does(tmp_path, hangup):
    hangup(signal.SIG_DFL)
    one = Small()
    assert stopped(one, tmp_path / "run", inside=sending_at(4, signal.SIGHUP)) == 129
    assert one.told[-1].startswith("SIGHUP: saved interrupted_checkpoint at epoch 1, step 5")


def test_a_hangup_that_nohup_ignores_does_not_stop_the_run(tmp_path, hangup):
    hangup(signal.SIG_IGN)
    one = Small()
    one.train(tmp_path / "run", inside=sending_at(4, signal.SIGHUP))
    assert len(one.seen) == 9
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def sending_at(step, number, moment="before"):
    """An ``inside`` that sends this process a signal when so many steps are completed."""
    sent = []

    def inside(run, now):
        if now == moment and run.step == step and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    return inside


def stopped(one, folder, **options):
    with pytest.raises(SystemExit) as left:
        one.train(folder, **options)
    return left.value.code


@SIGNALS
def test_a_signal_in_the_training_loop_finishes_the_step_and_saves(tmp_path, number, code):
    one = Small()
    assert stopped(one, tmp_path / "run", inside=sending_at(4, number)) == code
    assert len(one.seen) == 5  # the step under way, and no other
    assert one.told[-1] == (
        f"{number.name}: saved interrupted_checkpoint at epoch 1, step 5; "
        "the same command with --resume auto goes on from there"
    )
    again = gone_on(tmp_path / "run")
    assert len(again.seen) == 4
    assert one.seen + again.seen == truth_order(tmp_path)
    assert again.bits() == truth(tmp_path)


def truth_order(tmp_path):
    whole = Small()
    whole.train(tmp_path / "order")
    return whole.seen


class Evaluating(Small):
    """Evaluates through the run, batch by batch, so that a signal may end it."""

    signal_at = None  # epoch

    def loop(self, run, epochs, inside, tail):
        for epoch in run.epochs(epochs):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            if self.schedule is not None:
                self.schedule.step()
            for _ in run.evaluate(DataLoader(self.data, batch_size=6)):
                run.log(val_loss=self.evaluate())
                self.evaluated += 1
                if epoch == self.signal_at:
                    os.kill(os.getpid(), self.number)

    evaluated = 0


@SIGNALS
def test_a_signal_in_an_evaluation_leaves_it_and_the_resume_does_it_again(tmp_path, number, code):
    def kind():
        return Evaluating(schedule=lambda o: StepLR(o, 1, gamma=0.5))

    whole, one, again = kind(), kind(), kind()
    whole.train(tmp_path / "truth")
    one.signal_at, one.number = 1, number
    assert stopped(one, tmp_path / "run") == code
    assert one.evaluated == 3  # the first of two batches of the second evaluation
    assert "saved interrupted_checkpoint at epoch 1, step 6" in one.said
    again.train(tmp_path / "run")
    assert again.bits() == whole.bits()
    assert again.last.history == whole.last.history


def test_a_signal_in_an_evaluation_behind_the_step_waits_for_the_end_of_the_body(tmp_path):
    """There the weights are newer than the last save point: they cannot be saved as of it."""

    class Behind(Small):
        signal_at = None

        def step(self, run, batch, inside):
            super().step(run, batch, inside)
            for _ in run.evaluate(DataLoader(self.data, batch_size=6)):
                run.log(val_loss=self.evaluate())
                if run.step == self.signal_at:
                    os.kill(os.getpid(), signal.SIGTERM)

    whole, one, again = Behind(), Behind(), Behind()
    whole.train(tmp_path / "truth")
    one.signal_at = 3
    assert stopped(one, tmp_path / "run") == 143
    assert "saved interrupted_checkpoint at epoch 1, step 4" in one.said
    again.train(tmp_path / "run")
    assert one.seen + again.seen == whole.seen
    assert again.bits() == whole.bits()


def test_a_second_interrupt_leaves_at_once_and_saves_nothing_more(tmp_path):
    one = Small()

    def twice(run, moment):
        if moment == "before" and run.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        one.train(tmp_path / "run", inside=twice)
    told = "left at once: nothing more is saved; the newest checkpoint is checkpoint_epoch_1"
    assert one.told[-1] == told
    assert "interrupted_checkpoint" not in names(tmp_path / "run")
    assert gone_on(tmp_path / "run").bits() == truth(tmp_path)


def test_a_handler_that_was_there_before_is_called_too_and_put_back(tmp_path):
    heard = []

    def theirs(number, _frame):
        heard.append(number)

    before = signal.signal(signal.SIGUSR1, theirs)
    try:
        one = Small()
        assert stopped(one, tmp_path / "run", inside=sending_at(1, signal.SIGUSR1)) == 138
        assert heard == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is theirs
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_handler_that_exits_by_itself_loses_no_completed_step(tmp_path):
    """As scripts for batch systems have it: the signal's handler calls sys.exit."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(99))
    try:
        one = Small()
        assert stopped(one, tmp_path / "run", inside=sending_at(4, signal.SIGTERM)) == 99
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "interrupted: saved interrupted_checkpoint" in one.said
    assert gone_on(tmp_path / "run").bits() == truth(tmp_path)


def test_the_time_limit_saves_and_leaves_with_the_code_for_another_turn(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(runs, "StopWatcher", partial(StopWatcher, clock=lambda: now[0]))

    def step_of_ten_seconds(_run, moment):
        now[0] += 10 if moment == "before" else 0

    one = Small()
    code = stopped(one, tmp_path / "run", inside=step_of_ten_seconds, max_time_s=60)
    assert code == 85
    assert "time limit: saved interrupted_checkpoint at epoch 1, step 5" in one.said
    assert gone_on(tmp_path / "run").bits() == truth(tmp_path)


def test_stopping_early_at_an_epochs_end_is_a_success_with_a_final_model(tmp_path):
    one = Small()
    one.train(tmp_path / "run", tail=lambda run: run.stop("no progress") if run.epoch == 1 else 0)
    assert one.last.stopped == "no progress"
    assert len(one.seen) == 6
    assert {"checkpoint_epoch_2", "final_model"} <= {*names(tmp_path / "run")}


def test_stopping_early_inside_an_epoch_counts_no_epoch_that_was_not_completed(tmp_path):
    one = Small()
    one.train(tmp_path / "run", inside=lambda run, m: run.stop() if run.step == 3 else None)
    assert (one.last.epoch, one.last.step) == (1, 4)
    found = names(tmp_path / "run")
    assert "checkpoint_epoch_2" not in found
    assert {"checkpoint_step_4", "final_model"} <= {*found}
    again = gone_on(tmp_path / "run")
    assert one.seen + again.seen == truth_order(tmp_path)
    assert again.bits() == truth(tmp_path)


def test_an_evaluation_after_an_early_stop_is_not_cut_off(tmp_path):
    one = Evaluating()
    with one.run(tmp_path / "run") as run:
        one.loop(run, 3, lambda *_: run.stop(), nothing)
    assert one.evaluated == 2


def test_in_a_notebook_a_stop_ends_the_cell_and_not_the_kernel(tmp_path, monkeypatch):
    shell = types.SimpleNamespace(get_ipython=object)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    one = Small()
    run = one.train(tmp_path / "run", inside=sending_at(4, signal.SIGINT))
    assert run.stopped == "SIGINT"
    assert "interrupted_checkpoint" in names(tmp_path / "run")
    monkeypatch.setattr(shell, "get_ipython", lambda: None)  # IPython imported by a plain script
    assert stopped(Small(), tmp_path / "run", inside=sending_at(5, signal.SIGINT)) == 130


def test_the_same_objects_go_on_in_the_next_cell(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=object))
    one = Small()
    one.train(tmp_path / "run", inside=sending_at(4, signal.SIGINT))
    one.train(tmp_path / "run")
    assert one.last.step == 9
    assert one.bits() == truth(tmp_path)
    only_run(tmp_path / "run")  # the folder is used again


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_reaches_the_whole_process_group_and_its_workers_finish_the_step(tmp_path, workers):
    words = [sys.executable, "-m", "tests.run.trial", str(tmp_path / "run"), "--workers", workers,
             "--epochs", "1000"]  # fmt: skip
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TRIAL_FAULT": "say@0"},
        start_new_session=True, preexec_fn=hear_signals,  # noqa: PLW1509 - it only sets handlers
    ) as process:  # fmt: skip
        for line in process.stdout:
            if line.strip() == "step 5":
                break
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "SIGINT: saved interrupted_checkpoint" in errors
    assert "Traceback" not in errors


def test_a_stop_during_a_periodic_save_keeps_that_save(tmp_path):
    one = Small()
    policy = SavePolicy(every_steps=1, every_epochs=0)
    assert stopped(one, tmp_path / "run", save=policy, inside=sending_at(2, signal.SIGTERM)) == 143
    assert {"checkpoint_step_3", "interrupted_checkpoint"} <= {*names(tmp_path / "run")}

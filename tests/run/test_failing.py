"""A run that fails keeps its last completed step, and never a half-done one."""

import os
import shlex
import signal
import sys

import pytest
import torch
from torch.optim.lr_scheduler import StepLR
from torch.optim.swa_utils import AveragedModel

import ckptkit
from ckptkit.run import saver
from tests.run.small import Small, names, only_run, raising_at


def truth(tmp_path, **options):
    whole = Small(**options)
    whole.train(tmp_path / "truth")
    return whole.bits()


def gone_on(folder, **options):
    """Run the same script again."""
    again = Small(**options)
    again.train(folder)
    return again


OOM = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("a bad label"), "error_checkpoint"),
        (OOM, "emergency_checkpoint_oom_epoch_2"),
        (MemoryError(), "emergency_checkpoint_oom_epoch_2"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
         "emergency_checkpoint_oom_epoch_2"),
        (KeyboardInterrupt(), "interrupted_checkpoint"),
        (SystemExit(3), "interrupted_checkpoint"),
    ],
    ids=["exception", "accelerator", "memory", "cpu", "keyboard", "exit"],
)  # fmt: skip
def test_what_fails_in_a_step_is_saved_as_of_the_step_before_and_goes_on_to_the_same_bits(
    tmp_path, error, name
):
    broken = Small()
    with pytest.raises(type(error)):
        broken.train(tmp_path / "run", inside=raising_at(4, error))
    assert name in names(tmp_path / "run")
    assert f"saved {name}" in broken.said
    again = gone_on(tmp_path / "run")
    assert f"resumed from {only_run(tmp_path / 'run')}/checkpoints/{name}: epoch 1, step 4" in (
        again.told
    )
    assert again.bits() == truth(tmp_path)


def test_a_signal_whose_earlier_handler_raises_does_not_end_the_last_save(tmp_path, monkeypatch):
    def raises(*_):
        raise ConnectionError("the launcher asks to stop")

    def signalled(*args, begin=saver.begin_save):
        os.kill(os.getpid(), signal.SIGTERM)
        return begin(*args)

    fails = raising_at(4, ValueError("a bad label"))

    def fails_and_is_signalled(run, moment):
        if run.step == 4:
            monkeypatch.setattr(saver, "begin_save", signalled)
        fails(run, moment)

    theirs = signal.signal(signal.SIGTERM, raises)
    try:
        broken = Small()
        with pytest.raises(ValueError, match="a bad label"):
            broken.train(tmp_path / "run", inside=fails_and_is_signalled)
        assert signal.getsignal(signal.SIGTERM) is raises
    finally:
        signal.signal(signal.SIGTERM, theirs)
    assert "saved error_checkpoint" in broken.said


def test_the_first_step_may_fail(tmp_path):
    broken = Small()
    with pytest.raises(ValueError):
        broken.train(tmp_path / "run", inside=raising_at(0, ValueError("at once")))
    assert names(tmp_path / "run") == ["error_checkpoint"]
    assert gone_on(tmp_path / "run").bits() == truth(tmp_path)


@pytest.mark.parametrize("error", [ValueError("late"), OOM, KeyboardInterrupt(), SystemExit(1)])
def test_a_step_that_was_begun_and_not_ended_is_not_saved(tmp_path, error):
    """The optimizer has stepped, the body has not: the weights belong to no completed step."""
    broken = Small()
    with pytest.raises(type(error)):
        broken.train(tmp_path / "run", inside=raising_at(4, error, "after"))
    assert names(tmp_path / "run") == ["best_model", "checkpoint_epoch_1", "latest_checkpoint"]
    assert "nothing is saved of it; the newest checkpoint is checkpoint_epoch_1" in broken.said
    assert gone_on(tmp_path / "run").bits() == truth(tmp_path)


class Failing(torch.optim.AdamW):
    """Runs out of memory in the middle of a step, with half of the weights moved."""

    left = 5

    @torch.no_grad()
    def step(self, closure=None):
        self.left -= 1
        if self.left < 0:
            self.param_groups[0]["params"][0].add_(1.0)
            raise OOM
        return super().step(closure)


def test_out_of_memory_inside_the_optimizer_saves_nothing_torn(tmp_path):
    broken = Small()
    broken.optimizer = broken.state["optimizer"] = Failing(broken.model.parameters(), lr=0.1)
    with pytest.raises(torch.OutOfMemoryError):
        broken.train(tmp_path / "run")
    assert not [name for name in names(tmp_path / "run") if "emergency" in name]
    assert "the optimizer failed inside its step" in broken.said
    again = Small()
    again.optimizer = again.state["optimizer"] = Failing(again.model.parameters(), lr=0.1)
    again.optimizer.left = 1000
    again.train(tmp_path / "run")
    assert again.bits() == truth(tmp_path)


def test_the_command_with_half_the_batch_is_printed_when_memory_ran_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--batch-size", "4", "--resume", "auto"])
    broken = Small()
    with pytest.raises(torch.OutOfMemoryError):
        broken.train(tmp_path / "run", inside=raising_at(1, OOM), config={"batch_size": 4})
    (line,) = (t for t in broken.told if t.startswith("go on with a smaller batch: "))
    words = shlex.split(line.removeprefix("go on with a smaller batch: "))
    path = only_run(tmp_path / "run") / "checkpoints" / "emergency_checkpoint_oom_epoch_1"
    assert words[1:] == ["train.py", "--batch-size", "2", "--resume", str(path)]


class BehindForward(Small):
    def step(self, run, batch, inside):
        if run.step == 1:
            self.model(batch[1])
        super().step(run, batch, inside)


def test_buffers_that_have_moved_since_the_step_are_told(tmp_path):
    words = "buffers have moved since that step, and are saved as they are: model.1 (BatchNorm1d)"
    before, behind, plain = Small(norm=True), BehindForward(norm=True), BehindForward()
    for number, one in enumerate((before, behind, plain)):
        with pytest.raises(ValueError):
            one.train(tmp_path / str(number), inside=raising_at(1, ValueError()))
    assert [words in one.told for one in (before, behind, plain)] == [False, True, False]
    assert "buffers have" not in before.said + plain.said


def step_lr(optimizer):
    return StepLR(optimizer, step_size=1, gamma=0.5)


class TailFirst(Small):
    """Steps its schedule before it evaluates, as many scripts do."""

    def loop(self, run, epochs, inside, tail):
        for _ in run.epochs(epochs):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            self.schedule.step()
            self.state["counts"]["epochs"] += 1
            tail(run)
            run.log(val_loss=self.evaluate())


def tail_first():
    return TailFirst(schedule=step_lr, counts={"epochs": 0})


def fail_in_epoch(number, error=ValueError("in the evaluation")):
    def tail(run):
        if run.epoch == number:
            raise error

    return tail


@pytest.mark.parametrize("kind", [lambda: Small(schedule=step_lr), tail_first],
                         ids=["evaluated-first", "scheduled-first"])  # fmt: skip
def test_an_evaluation_that_fails_is_done_again_and_nothing_twice(tmp_path, kind):
    whole, broken, again = kind(), kind(), kind()
    whole.train(tmp_path / "truth")
    with pytest.raises(ValueError):
        broken.train(tmp_path / "run", tail=fail_in_epoch(1))
    assert "error: saved error_checkpoint" in broken.said
    again.train(tmp_path / "run")
    assert "error_checkpoint: epoch 1, step 6" in again.said
    assert again.bits() == whole.bits()
    assert again.last.history == whole.last.history
    assert again.state.get("counts") == whole.state.get("counts")


class EpochAverage(Small):
    def loop(self, run, epochs, inside, tail):
        for _ in run.epochs(epochs):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            self.state["ema"].update_parameters(self.model)
            tail(run)
            run.log(val_loss=self.evaluate())


def averaged():
    one = EpochAverage()
    one.state["ema"] = AveragedModel(one.model)
    return one


def test_weights_that_moved_after_the_last_step_are_not_saved_as_of_that_step(tmp_path):
    whole, broken, again = averaged(), averaged(), averaged()
    whole.train(tmp_path / "truth")
    with pytest.raises(ValueError):
        broken.train(tmp_path / "run", tail=fail_in_epoch(1))
    assert "error_checkpoint" not in names(tmp_path / "run")
    assert "nothing is saved of it; the newest checkpoint is checkpoint_epoch_1" in broken.said
    again.train(tmp_path / "run")
    assert again.bits() == whole.bits()


def test_an_emergency_save_destroys_no_regular_one(tmp_path):
    broken = Small()
    with pytest.raises(ValueError):
        broken.train(tmp_path / "run", inside=raising_at(4, ValueError()))
    folder = only_run(tmp_path / "run") / "checkpoints"
    before = (folder / "checkpoint_epoch_1" / "manifest.msgpack").read_bytes()
    assert (folder / "latest_checkpoint" / "manifest.msgpack").read_bytes() == before
    with ckptkit.load(folder / "checkpoint_epoch_1") as checkpoint:
        assert checkpoint.state("progress")["optimizer_steps"] == 3


def test_an_emergency_that_cannot_be_saved_is_told_and_the_error_is_what_is_seen(
    tmp_path, monkeypatch
):
    from ckptkit.errors import DiskFullError
    from ckptkit.run import saver

    def full(*_):
        raise DiskFullError("checkpoints", "the disk is full", "room")

    broken = Small()

    def break_saving(run, moment):
        if run.step == 1 and moment == "before":
            monkeypatch.setattr(saver, "begin_save", full)
            raise ValueError("the first error")

    with pytest.raises(ValueError, match="the first error"):
        broken.train(tmp_path / "run", inside=break_saving)
    assert "and it could not be saved" in broken.said
    assert broken.told[-1].endswith("; no checkpoint was saved before")

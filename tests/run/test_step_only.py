"""A background save copies what only an optimizer's step writes behind the next forward pass.

No bit of the checkpoint may show that: the step waits, and what else writes there is found out.
"""

import threading

import pytest
import torch

import ckptkit
from ckptkit.errors import CorruptFileError
from ckptkit.run.policy import SavePolicy
from ckptkit.run.staging import Staging
from ckptkit.run.step_only import StepOnly
from tests.run.small import Small, names, only_run

BEHIND = SavePolicy(every_steps=1, every_epochs=0, background=True)


class Slow:
    """Lets the rest of each copy begin only when a step waits for it, or when it is opened."""

    def __init__(self, monkeypatch):
        self.go, self.copied_later, self.waits = threading.Event(), [], 0
        finish = Staging.finish

        def slow(staging):
            self.copied_later.append(bool(staging._later))
            assert self.go.wait(60)
            finish(staging)

        monkeypatch.setattr(Staging, "finish", slow)

    def steps(self, run, moment):
        """Open as soon as the training waits in its step; close behind it."""
        saver, wait = run._saver, run._saver._copying.wait
        if moment == "before" and not saver._copying.is_set():
            self.waits += 1
            saver._copying.wait = lambda: (self.go.set(), wait(60), self.go.clear())


def stored_averages(folder, name):
    with ckptkit.load(only_run(folder) / "checkpoints" / name) as checkpoint:
        return {
            number: one["exp_avg"].clone()
            for number, one in checkpoint.state("optimizer")["state"].items()
        }


def averages_of(one):
    return {n: s["exp_avg"].clone() for n, s in one.optimizer.state_dict()["state"].items()}


def test_the_next_step_waits_for_the_copy_and_the_pass_before_it_does_not(tmp_path, monkeypatch):
    slow, one, live = Slow(monkeypatch), Small(), {}

    def inside(run, moment):
        slow.steps(run, moment)
        if moment == "after":
            live[len(live) + 1] = averages_of(one)
            if len(live) == 3:  # nobody steps behind the last one
                slow.go.set()

    one.train(tmp_path, 1, save=BEHIND, inside=inside)
    assert slow.waits == 2
    assert all(slow.copied_later)
    for step, wanted in live.items():
        found = stored_averages(tmp_path, f"checkpoint_step_{step}")
        assert all(torch.equal(found[n], wanted[n]) for n in wanted)


def test_what_else_writes_there_is_told_and_the_next_step_is_saved_instead(tmp_path, monkeypatch):
    slow, one = Slow(monkeypatch), Small()

    def inside(run, moment):
        slow.steps(run, moment)
        if moment == "before" and run.step == 2:
            next(iter(one.optimizer.state.values()))["exp_avg"].zero_()
        if moment == "after" and run.step >= 2:
            slow.go.set()

    policy = SavePolicy(every_steps=2, every_epochs=0, background=True)
    one.train(tmp_path, 2, save=policy, inside=inside)
    assert "checkpoint_step_2 is left out: the state of an optimizer was written to" in one.said
    assert "checkpoint_step_2" not in names(tmp_path)
    assert {"checkpoint_step_3", "checkpoint_step_4", "checkpoint_step_6"} <= {*names(tmp_path)}
    assert slow.copied_later == [True, False, False, False, False]  # the epoch behind them too


@pytest.mark.parametrize("seconds", [0, 0.2])  # before the script exits, and after
def test_a_script_that_exits_behind_a_save_that_was_given_up_loses_nothing(
    tmp_path, monkeypatch, seconds
):
    slow, one = Slow(monkeypatch), Small()
    opening = threading.Timer(seconds, slow.go.set)

    def inside(run, moment):
        if moment == "before" and run.step == 2:
            next(iter(one.optimizer.state.values()))["exp_avg"].zero_()
            opening.start()
            if not seconds:
                run._saver._behind._thread.join()
            raise SystemExit(0)

    policy = SavePolicy(every_steps=2, every_epochs=0, background=True)
    with pytest.raises(SystemExit):
        one.train(tmp_path, 1, save=policy, inside=inside)
    assert "checkpoint_step_2 is left out" in one.said
    assert names(tmp_path) == ["interrupted_checkpoint"]


def test_a_save_that_is_given_up_behind_the_last_step_is_made_up_for(tmp_path, monkeypatch):
    slow, one = Slow(monkeypatch), Small()

    def tail(_run):
        next(iter(one.optimizer.state.values()))["exp_avg"].zero_()
        slow.go.set()

    policy = SavePolicy(every_steps=3, every_epochs=0, final=False, background=True)
    one.train(tmp_path, 1, save=policy, tail=tail)
    assert "checkpoint_step_3 is left out" in one.said
    assert {"checkpoint_epoch_1", "latest_checkpoint"} == {*names(tmp_path)}


def test_the_best_of_all_is_copied_at_once(tmp_path, monkeypatch):
    slow, one = Slow(monkeypatch), Small()
    slow.go.set()
    one.train(tmp_path, 1, save=SavePolicy(best="val_loss", background=True))
    assert slow.copied_later == [False]


def test_a_copy_that_fails_later_lets_the_step_go_on_and_is_raised(tmp_path, monkeypatch):
    def broken(_staging):
        raise CorruptFileError("a tensor", "cannot be read")

    monkeypatch.setattr(Staging, "finish", broken)
    with pytest.raises(CorruptFileError):
        Small().train(tmp_path, 1, save=BEHIND)


def test_what_is_noted():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.Adam([weight])
    noting = StepOnly({"optimizer": optimizer})
    assert not noting.note()
    optimizer.step()
    states = optimizer.state[weight]
    states |= {"itself": weight, "device": torch.ones(2, device="meta"), "words": "x"}
    states["sparse"] = torch.eye(2).to_sparse()
    with torch.inference_mode():
        states["uncounted"] = torch.ones(2)
    own = {states[name].untyped_storage().data_ptr() for name in ("step", "exp_avg", "exp_avg_sq")}
    assert noting.note() == own
    assert not noting.written()
    assert noting.note() == own
    states["exp_avg"].zero_()
    assert noting.written()
    assert not noting.trusted
    assert not noting.note()
    assert not noting.written()

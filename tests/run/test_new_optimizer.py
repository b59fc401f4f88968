"""A script that puts another optimizer into its state, to unfreeze for example, is followed."""

import pytest
import torch

import ckptkit
from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, names, only_run, raising_at

TOLD = "the state has another optimizer now: its steps are counted from here on"


class Unfreezing(Small):
    """Trains its head for an epoch, then everything with an optimizer of its own."""

    def __init__(self, frozen=None):
        super().__init__()
        self.take(self.model[3])
        self.frozen = frozen

    def take(self, part):
        self.optimizer = self.state["optimizer"] = torch.optim.AdamW(part.parameters(), lr=0.1)

    def loop(self, run, epochs, inside, tail):
        for epoch in run.epochs(epochs):
            if epoch == 1 and not run.micro_batch:
                self.take(self.model)
            tail(run)
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            run.log(val_loss=self.evaluate())


def test_steps_of_another_optimizer_are_counted_saved_and_told(tmp_path):
    one = Unfreezing()
    run = one.train(tmp_path, save=SavePolicy(every_epochs=0, every_steps=2, final=False))
    assert run.step == 9
    assert one.told.count(TOLD) == 1
    saved = [f"checkpoint_step_{step}" for step in (2, 4, 6, 8)]
    assert names(tmp_path) == [*saved, "latest_checkpoint"]


@pytest.mark.parametrize("step", [4, 5])
def test_an_error_behind_a_step_of_another_optimizer_saves_that_step(tmp_path, step):
    one, weights = Unfreezing(), {}

    def inside(run, moment):
        if moment == "before":
            weights[run.step] = [p.detach().clone() for p in one.model.parameters()]
        raising_at(step, ValueError())(run, moment)

    with pytest.raises(ValueError):
        one.train(tmp_path, inside=inside)
    with ckptkit.load(only_run(tmp_path) / "checkpoints" / "error_checkpoint") as checkpoint:
        assert checkpoint.state("progress")["optimizer_steps"] == step
        stored = checkpoint.state("model").values()
    assert all(map(torch.equal, stored, weights[step]))


def test_an_error_inside_a_step_of_another_optimizer_saves_nothing_torn(tmp_path):
    one = Unfreezing()

    def break_it(run, moment):
        if moment == "before" and run.step == 4:
            one.optimizer.param_groups[0]["lr"] = "no number"

    with pytest.raises(TypeError):
        one.train(tmp_path, inside=break_it)
    assert "the optimizer failed inside its step, so nothing is saved" in one.said


@pytest.mark.parametrize("place", ["behind its making", "in the first body"])
def test_an_optimizer_that_has_not_stepped_is_not_saved_as_that_of_the_step_before(tmp_path, place):
    def fail(run, moment="tail"):
        if run.step == 3 and (moment == "tail") == (place == "behind its making"):
            raise ValueError

    one = Unfreezing()
    with pytest.raises(ValueError):
        one.train(tmp_path, tail=fail, inside=fail)
    assert "error_checkpoint" not in names(tmp_path)
    assert "the optimizer is another one than at the last completed step" in one.said


def test_a_script_whose_optimizer_comes_later_counts_bodies_before(tmp_path):
    one = Small()
    del one.state["optimizer"]
    with one.run(tmp_path) as run:
        for epoch in run.epochs(2):
            if epoch == 1:
                one.state["optimizer"] = one.optimizer
            for number, batch in enumerate(run.batches(one.loader)):
                if number != 1:
                    one.step(run, batch, lambda *_: None)
    assert run.step == 3 + 2


class Wrapping(torch.optim.Optimizer):
    """As Accelerate's: an optimizer by its class, whose own beginnings were never called."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def __getattr__(self, name):
        return getattr(vars(self)["optimizer"], name)

    def step(self, closure=None):
        return self.optimizer.step(closure)

    def state_dict(self):
        return self.optimizer.state_dict()

    def load_state_dict(self, state):
        self.optimizer.load_state_dict(state)

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


def test_an_optimizer_around_another_one_counts_as_that_one(tmp_path):
    def wrapped():
        one = Small()
        one.optimizer = one.state["optimizer"] = Wrapping(one.optimizer)
        return one

    whole, again = Small(), wrapped()
    whole.train(tmp_path / "truth")
    with pytest.raises(ValueError):
        wrapped().train(tmp_path / "run", inside=raising_at(4, ValueError()))
    again.train(tmp_path / "run")
    assert again.last.step == 9
    assert again.bits() == whole.bits()

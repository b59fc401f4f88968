"""Averaged weights that are swapped in for an evaluation are never saved as the last step's."""

import copy
import os
import signal

import pytest
import torch

from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, names
from tests.run.test_moved import Average
from tests.run.test_stopping import stopped


def assign(model, shadow):
    kept = [one.data for one in model.parameters()]
    for one, average in zip(model.parameters(), shadow.values(), strict=True):
        one.data = average
    return kept


def assign_back(model, kept):
    for one, weight in zip(model.parameters(), kept, strict=True):
        one.data = weight


def copy_data(model, shadow):
    kept = [one.data.clone() for one in model.parameters()]
    copy_data_back(model, shadow.values())
    return kept


def copy_data_back(model, kept):
    for one, weight in zip(model.parameters(), kept, strict=True):
        one.data.copy_(weight)


def load(model, shadow):
    kept = copy.deepcopy(model.state_dict())
    model.load_state_dict(shadow)
    return kept


def load_back(model, kept):
    model.load_state_dict(kept)


WAYS = [(assign, assign_back), (copy_data, copy_data_back), (load, load_back)]


class Swapping(Small):
    """Evaluates with averaged weights: in an epoch's tail, or before a step, as nanoGPT does."""

    def __init__(self, way, place):
        super().__init__()
        self.put, self.put_back = way
        self.place = place
        self.state["average"] = Average(self.model)

    def run(self, folder, **options):
        save = SavePolicy(every_epochs=1, every_steps=0 if self.place == "tail" else 3)
        return super().run(folder, save=save, **options)

    def loop(self, run, epochs, inside, tail):
        if self.place == "tail":
            for _ in run.epochs(epochs):
                for batch in run.batches(self.loader):
                    self.step(run, batch, inside)
                    self.state["average"].update(self.model)
                self.evaluate_average(run, tail)
        else:
            for number in run.steps(3 * epochs):
                if number % 2 == 0:
                    self.evaluate_average(run, tail)
                self.step(run, self.data[3 * number % 12 : 3 * number % 12 + 3], inside)
                self.state["average"].update(self.model)

    def evaluate_average(self, run, tail):
        kept = self.put(self.model, self.state["average"].shadow)
        for _ in run.evaluate([1, 2]):
            tail(run)
            run.log(val_loss=self.evaluate())
        self.put_back(self.model, kept)


def in_the_evaluation_behind_step(step, act):
    def tail(run):
        if run.step == step:
            act()

    return tail


def fail():
    raise ValueError("in the evaluation")


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("place", ["tail", "body"])
@pytest.mark.parametrize("way", WAYS, ids=["assign", "copy-data", "load"])
def test_an_error_in_an_evaluation_of_an_average_saves_nothing_wrong(tmp_path, way, place):
    whole, broken, again = (Swapping(way, place) for _ in range(3))
    whole.train(tmp_path / "truth")
    step = 6 if place == "tail" else 4
    with pytest.raises(ValueError):
        broken.train(tmp_path / "run", tail=in_the_evaluation_behind_step(step, fail))
    assert "error_checkpoint" not in names(tmp_path / "run")
    assert "weights have changed since the last completed step, so nothing is saved" in broken.said
    again.train(tmp_path / "run")
    assert again.bits() == whole.bits()


@pytest.mark.parametrize("place", ["tail", "body"])
@pytest.mark.parametrize("way", WAYS, ids=["assign", "copy-data", "load"])
def test_a_signal_in_an_evaluation_of_an_average_waits_for_the_weights(tmp_path, way, place):
    whole, broken, again = (Swapping(way, place) for _ in range(3))
    whole.train(tmp_path / "truth")
    step = 6 if place == "tail" else 4
    stop = in_the_evaluation_behind_step(step, terminate)
    assert stopped(broken, tmp_path / "run", tail=stop) == 128 + signal.SIGTERM
    saved = "epoch 2, step 6" if place == "tail" else "epoch 0, step 5"
    assert f"saved interrupted_checkpoint at {saved}" in broken.said
    again.train(tmp_path / "run")
    assert again.bits() == whole.bits()
    average, other = again.state["average"].shadow, whole.state["average"].shadow
    assert all(torch.equal(average[name], other[name]) for name in average)


def test_weights_that_a_body_moved_before_it_failed_are_not_saved_as_the_last_steps(tmp_path):
    class Decaying(Small):
        def step(self, run, batch, inside):
            with torch.no_grad():
                for one in self.model.parameters():
                    one.mul_(0.9)
            super().step(run, batch, inside)

    whole, broken, again = Decaying(), Decaying(), Decaying()
    whole.train(tmp_path / "truth")
    with pytest.raises(ValueError):
        broken.train(
            tmp_path / "run",
            inside=lambda run, _: in_the_evaluation_behind_step(4, fail)(run),
        )
    assert "error_checkpoint" not in names(tmp_path / "run")
    again.train(tmp_path / "run")
    assert again.bits() == whole.bits()

"""A script that leaves a loop by ``break`` keeps what it completed, and goes on from there."""

import os
import signal

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from ckptkit.errors import MismatchError
from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, came_from, names, only_run, raising_at
from tests.run.test_kinds_of_loops import Accumulating
from tests.run.test_stopping import sending_at


class Leaving(Small):
    """Leaves ``run.epochs`` in the tail of epoch ``last``."""

    until = None
    after = staticmethod(lambda _one: None)

    def loop(self, run, epochs, inside, tail):
        for epoch in run.epochs(epochs):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            run.log(val_loss=self.evaluate())
            if epoch == self.until:
                break
        self.after(self)


def left(folder, last=1, **options):
    one = Leaving()
    one.until = last
    one.train(folder, **options)
    return one


@pytest.mark.parametrize("background", [False, True])
def test_an_epoch_that_a_script_leaves_behind_its_data_is_complete_and_final(tmp_path, background):
    whole, again = Leaving(), Leaving()
    whole.train(tmp_path / "truth")
    one = left(tmp_path / "run", save=SavePolicy(best="val_loss", background=background))
    assert {"checkpoint_epoch_2", "final_model"} <= {*names(tmp_path / "run")}
    assert (one.last.epoch, len(one.last.history["val_loss"])) == (2, 2)
    again.train(tmp_path / "run")
    assert came_from(again) == ("checkpoint_epoch_2", "epoch 2, step 6")
    assert one.seen + again.seen == whole.seen
    assert again.bits() == whole.bits()
    assert again.last.history == whole.last.history


def test_a_rare_policy_does_not_lose_what_a_break_leaves(tmp_path):
    left(tmp_path / "run", last=0, save=SavePolicy(every_epochs=100))
    assert names(tmp_path / "run") == ["checkpoint_epoch_1", "final_model", "latest_checkpoint"]
    left(tmp_path / "none", last=0, save=SavePolicy(every_epochs=100, final=False))
    assert names(tmp_path / "none") == []


class MaxSteps(Small):
    """Leaves both loops when so many steps are done, as many scripts do."""

    last_step = None
    first = False  # whether it looks before the step

    def loop(self, run, epochs, inside, tail):
        for _ in run.epochs(epochs):
            for batch in run.batches(self.loader):
                if self.first and run.step == self.last_step:
                    break
                self.step(run, batch, inside)
                if not self.first and run.step + 1 == self.last_step:
                    break
            else:
                run.log(val_loss=self.evaluate())
                continue
            break


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("steps", [1, 4, 6])
def test_a_limit_of_steps_is_saved_where_it_is_and_goes_on_inside_the_epoch(tmp_path, first, steps):
    whole, one, again = MaxSteps(), MaxSteps(), MaxSteps()
    whole.train(tmp_path / "truth")
    one.last_step, one.first = steps, first
    one.train(tmp_path / "run")
    assert one.last.step == steps
    assert "final_model" in names(tmp_path / "run")
    again.train(tmp_path / "run")
    assert again.last.history["step"] == whole.last.history["step"]
    assert again.bits() == whole.bits()
    assert len(one.seen) + len(again.seen) == len(whole.seen)


def test_a_loop_of_steps_that_is_left_keeps_its_last_step(tmp_path):
    class Steps(Small):
        until = None

        def loop(self, run, epochs, inside, tail):
            for step in run.steps(9):
                rows = torch.randint(len(self.data), (4,))
                self.step(run, self.data[rows], inside)
                if step == self.until:
                    break

    whole, one, again = Steps(), Steps(), Steps()
    whole.train(tmp_path / "truth")
    one.until = 4
    one.train(tmp_path / "run")
    assert {"checkpoint_step_5", "final_model"} <= {*names(tmp_path / "run")}
    again.train(tmp_path / "run")
    assert again.bits() == whole.bits()


def test_weights_that_are_changed_behind_a_break_are_not_saved_as_the_epochs(tmp_path):
    """As where the best weights are loaded for a last test."""

    class Reloading(Leaving):
        def after(self, _one):
            with torch.no_grad():
                self.model[0].weight.zero_()

    one = Reloading()
    one.until = 1
    one.train(tmp_path)
    assert "checkpoint_epoch_2" not in names(tmp_path)
    assert "nothing is saved of it; the newest checkpoint is checkpoint_epoch_1" in one.said


def test_a_break_that_an_exception_made_is_the_exceptions(tmp_path):
    one = Small()
    with pytest.raises(ValueError):
        one.train(tmp_path, inside=raising_at(1, ValueError(), "after"))
    assert names(tmp_path) == []


def test_loops_under_a_progress_bar_that_the_script_holds_are_closed_for_it(tmp_path):
    class Bar:
        def __init__(self, loop):
            self.loop = loop

        def __iter__(self):
            yield from self.loop

    class Held(Leaving):
        def loop(self, run, epochs, inside, tail):
            self.outer = Bar(run.epochs(epochs))
            for epoch in self.outer:
                self.inner = Bar(run.batches(self.loader))
                for number, batch in enumerate(self.inner):
                    self.step(run, batch, inside)
                    if number == 1:
                        break
                run.log(val_loss=self.evaluate())
                if epoch == self.until:
                    break

    whole, one, again = Held(), Held(), Held()
    whole.train(tmp_path / "truth")
    one.until = 1
    one.train(tmp_path / "run")
    assert {"checkpoint_epoch_2", "final_model"} <= {*names(tmp_path / "run")}
    again.train(tmp_path / "run")
    assert again.bits() == whole.bits()
    assert again.last.samples == whole.last.samples == 24


def test_another_loop_in_the_same_run_goes_on_where_the_first_was_left(tmp_path):
    whole, one = Small(), MaxSteps()
    whole.train(tmp_path / "truth")
    with one.run(tmp_path / "run") as run:
        one.last_step = 4
        one.loop(run, 3, lambda *_: None, None)
        one.last_step = None
        one.loop(run, 3, lambda *_: None, None)
    assert one.seen == whole.seen
    assert one.bits() == whole.bits()


def test_gradients_of_a_batch_that_stepped_and_broke_off_do_not_wait(tmp_path):
    class Breaks(Accumulating):
        def loop(self, run, epochs, inside, tail):
            for _ in run.epochs(epochs):
                for number, batch in enumerate(run.batches(self.loader)):
                    self.step(run, batch, inside)
                    if number == 1:
                        break

    one = Breaks()
    one.train(tmp_path)
    assert (one.last.step, one.last.micro_batch) == (3, 0)


def test_a_signal_behind_a_break_ends_with_its_code_and_all_is_saved(tmp_path):
    one = Leaving()
    one.until = 1
    one.after = lambda _one: os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        one.train(tmp_path)
    assert caught.value.code == 143
    assert "checkpoint_epoch_2" in names(tmp_path)


# -- names of loops -------------------------------------------------------------------------------


class TwoLoops(Small):
    names = ("train", "train")

    def loop(self, run, epochs, inside, tail):
        other = DataLoader(self.data, batch_size=6, shuffle=True)
        for _ in run.epochs(epochs):
            for batch in run.batches(self.loader, self.names[0]):
                self.step(run, batch, inside)
            for batch in run.batches(other, self.names[1]):
                self.step(run, batch, inside)


def test_two_loops_of_one_name_are_refused_because_a_place_has_one_name(tmp_path):
    with pytest.raises(MismatchError, match="two loops named 'train'"):
        TwoLoops().train(tmp_path)


def test_two_loops_inside_each_other_need_two_names(tmp_path):
    class Nested(Small):
        def loop(self, run, epochs, inside, tail):
            for _ in run.epochs(epochs):
                for _batch in run.batches(self.loader):
                    for batch in run.batches(self.loader):
                        self.step(run, batch, inside)

    with pytest.raises(MismatchError, match="give them names"):
        Nested().train(tmp_path)


def test_two_loops_of_one_epoch_have_two_orders(tmp_path):
    one = TwoLoops()
    one.names = ("labelled", "unlabelled")
    one.train(tmp_path, 1)
    first, second = ([n for batch in part for n in batch] for part in (one.seen[:3], one.seen[3:]))
    assert sorted(first) == sorted(second)
    assert first != second


def test_batches_outside_of_an_epoch_are_refused_because_they_would_begin_again(tmp_path):
    class Bare(Small):
        def loop(self, run, epochs, inside, tail):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)

    with pytest.raises(MismatchError, match=r"write: for epoch in run\.epochs\(1\)"):
        Bare().train(tmp_path)


# -- a stop that no step ends ---------------------------------------------------------------------


class NeverStepping(Small):
    """Its scaler finds infinities from the fifth batch on, and skips every step."""

    def __init__(self):
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        super().__init__(scaler=self.scaler)

    def step(self, run, batch, inside):
        index, x, y = batch
        self.seen.append(index.tolist())
        inside(run, "before")
        loss = nn.functional.cross_entropy(self.model(x), y)
        if run.step >= 4:
            loss = loss * float("inf")
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()


def test_a_signal_ends_a_training_whose_every_step_is_skipped(tmp_path):
    one = NeverStepping()
    inside = sending_at(4, signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        one.train(tmp_path, 1000, inside=inside, save=SavePolicy(every_epochs=10**6))
    assert caught.value.code == 143
    assert "interrupted_checkpoint" in names(tmp_path)


def test_a_final_name_that_a_kill_prevented_is_given_by_the_next_start(tmp_path):
    import shutil

    Small().train(tmp_path, 2)
    shutil.rmtree(only_run(tmp_path) / "checkpoints" / "final_model")
    Small().train(tmp_path, 2)
    assert "final_model" in names(tmp_path)

"""A signal behind the loops: what no checkpoint holds yet is saved, or said to be lost."""

import os
import signal

import pytest
import torch

from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, names

RARELY = SavePolicy(every_epochs=0, every_steps=4, final=False)


class Ending(Small):
    """Is told to stop behind its loop."""

    reloads = False
    by_steps = False

    def loop(self, run, epochs, inside, tail):
        if self.by_steps:
            for _ in run.steps(3 * epochs):
                rows = torch.randint(len(self.data), (4,))
                self.step(run, self.data[rows], inside)
        else:
            super().loop(run, epochs, inside, tail)
        if self.reloads:
            with torch.no_grad():
                self.model[0].weight.zero_()
        os.kill(os.getpid(), signal.SIGTERM)


def ended(folder, save=RARELY, **what):
    one = Ending()
    vars(one).update(what)
    with pytest.raises(SystemExit) as caught:
        one.train(folder, 2, save=save)
    assert caught.value.code == 143
    return one


@pytest.mark.parametrize("by_steps", [False, True])
def test_steps_that_no_checkpoint_holds_are_saved_as_interrupted(tmp_path, by_steps):
    one, again, whole = ended(tmp_path / "run", by_steps=by_steps), Ending(), Ending()
    assert "nothing is lost" not in one.said
    assert "interrupted_checkpoint" in names(tmp_path / "run")
    again.by_steps = whole.by_steps = by_steps
    for each, folder in ((again, "run"), (whole, "truth")):
        with pytest.raises(SystemExit):
            each.train(tmp_path / folder, 3, save=RARELY)
    assert again.bits() == whole.bits()
    assert len(one.seen) + len(again.seen) == len(whole.seen)


@pytest.mark.parametrize("by_steps", [False, True])
def test_where_the_weights_are_other_ones_by_then_it_says_what_is_not_saved(tmp_path, by_steps):
    one = ended(tmp_path, reloads=True, by_steps=by_steps)
    assert names(tmp_path) == ["checkpoint_step_4", "latest_checkpoint"]
    assert one.said.endswith(
        "SIGTERM: the loops are over, what came behind the last save is not saved; "
        "the newest checkpoint is checkpoint_step_4"
    )


def test_nothing_is_lost_where_the_end_was_saved(tmp_path):
    one = ended(tmp_path, save=SavePolicy())
    assert one.said.endswith("SIGTERM: the loops are over, nothing is lost")


def test_a_time_limit_that_a_script_swallows_ends_a_loop_of_steps_with_its_code(tmp_path):
    class Swallowing(Small):
        def loop(self, run, epochs, inside, tail):
            try:
                for _ in run.steps(9):
                    self.step(run, self.data[:4], inside)
            except BaseException as error:  # as by a bare except
                self.swallowed = error

    one = Swallowing()
    with pytest.raises(SystemExit) as caught:
        one.train(tmp_path, max_time_s=0.0)
    assert caught.value.code == 85
    assert names(tmp_path) == ["interrupted_checkpoint"]

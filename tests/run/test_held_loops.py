"""A progress bar holds a loop that its script has left: what comes behind is not saved as its."""

import pytest
import torch

from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, names


class Stopping(Small):
    """Stops early by ``break``, holding its loop, and loads other weights, as the best ones."""

    at_top = False  # whether it looks before the epoch's data
    reloads = True

    def loop(self, run, epochs, inside, tail):
        self.bar = run.epochs(epochs)
        for epoch in self.bar:
            if self.at_top and epoch == 3:
                break
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            run.log(val_loss=self.evaluate())
            if not self.at_top and epoch == 2:
                break
        if self.reloads:
            with torch.no_grad():
                self.model[0].weight.zero_()


@pytest.mark.parametrize("at_top", [False, True])
def test_weights_that_are_loaded_behind_a_loop_that_is_held_are_not_saved_as_the_epochs(
    tmp_path, at_top
):
    one, again, whole = Stopping(), Small(), Small()
    one.at_top = at_top
    one.train(tmp_path / "run", 5, save=SavePolicy(every_epochs=2))
    assert names(tmp_path / "run") == ["checkpoint_epoch_2", "latest_checkpoint"]
    assert one.said.endswith("nothing is saved of it; the newest checkpoint is checkpoint_epoch_2")
    again.train(tmp_path / "run", 5)
    whole.train(tmp_path / "truth", 5)
    assert again.bits() == whole.bits()


@pytest.mark.parametrize(
    ("at_top", "saved"), [(False, "checkpoint_epoch_3"), (True, "checkpoint_step_9")]
)
def test_a_loop_that_is_held_and_left_is_saved_where_nothing_was_changed_behind_it(
    tmp_path, at_top, saved
):
    one = Stopping()
    one.at_top, one.reloads = at_top, False
    one.train(tmp_path, 5, save=SavePolicy(every_epochs=2))
    assert {saved, "final_model"} <= {*names(tmp_path)}

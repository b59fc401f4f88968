"""Another metric that is watched from a resume on is compared with what the history knows of it."""

import pytest

from ckptkit.run.policy import SavePolicy
from ckptkit.run.retention import KeepLast, Retention
from tests.run.small import Small, names

VAL, ACC = [1.0, 5.0, 4.0, 3.0, 7.0], [0.9, 0.5, 0.6, 0.7, 0.95]


class Measured(Small):
    def loop(self, run, epochs, inside, tail):
        for epoch in run.epochs(epochs):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            run.log(val=VAL[epoch], acc=ACC[epoch])


def train(folder, epochs, best, mode="min"):
    one = Measured()
    save = SavePolicy(best=best, mode=mode)
    one.train(folder, epochs, save=save, retention=Retention(keep=KeepLast(1)))
    return one


@pytest.mark.parametrize(
    ("name", "mode", "so_far", "best"),
    [
        ("acc", "max", "whose best so far is 0.9 (epoch 1, step 3)", 0.9),
        ("val", "max", "whose best so far is 5 (epoch 2, step 6)", 5.0),
        ("loss_of_test", "min", "of which nothing is known yet", None),
    ],
)
def test_a_changed_metric_is_told_and_has_the_best_of_the_history(
    tmp_path, name, mode, so_far, best
):
    train(tmp_path, 3, "val")
    again = train(tmp_path, 4, name, mode)
    assert again.last.best == best
    (line,) = (text for text in again.told if "was watched before" in text)
    assert line.startswith(f"val (min) was watched before, now it is {name} ({mode}), {so_far}: ")
    assert "best_model" in names(tmp_path)


def test_what_was_the_best_stays_until_something_beats_it(tmp_path):
    train(tmp_path, 3, "val")
    train(tmp_path, 4, "acc", "max")
    assert "checkpoint_epoch_1" in names(tmp_path)
    assert train(tmp_path, 5, "acc", "max").last.best == 0.95
    assert "checkpoint_epoch_1" not in names(tmp_path)


def test_the_same_metric_is_not_worth_a_word(tmp_path):
    train(tmp_path, 3, "val")
    again = train(tmp_path, 4, "val")
    assert again.last.best == 1.0
    assert "watched" not in again.said

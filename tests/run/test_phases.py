"""Several loops over epochs or steps in one run: each goes on from where the run stands in it."""

import pytest
import torch

from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, names, raising_at


class Phases(Small):
    """Two loops over epochs; between them it draws, as for a new head."""

    def loop(self, run, epochs, inside, tail):
        for target in (2, 4):
            super().loop(run, target, inside, tail)
            self.drawn = torch.rand(2).tolist()


class PhasesOfSteps(Small):
    def loop(self, run, epochs, inside, tail):
        for target in (4, 8):
            for _ in run.steps(target):
                rows = torch.randint(len(self.data), (4,))
                self.step(run, self.data[rows], inside)
            self.drawn = torch.rand(2).tolist()


@pytest.mark.parametrize(("kind", "last"), [(Phases, 12), (PhasesOfSteps, 8)])
def test_a_run_of_two_loops_that_is_stopped_anywhere_goes_on_in_the_one_it_was_in(
    tmp_path, kind, last
):
    whole = kind()
    whole.train(tmp_path / "truth", save=SavePolicy())
    for step in range(last):
        folder = tmp_path / f"run-{step}"
        one, again = kind(), kind()
        with pytest.raises(ValueError):
            one.train(folder, inside=raising_at(step, ValueError()), save=SavePolicy())
        again.train(folder, save=SavePolicy())
        assert again.bits() == whole.bits(), step
        assert again.drawn == whole.drawn, step
        assert len(one.seen) - 1 + len(again.seen) == last, step


def test_fewer_epochs_than_it_stands_in_train_nothing_and_make_no_final_model(tmp_path):
    one, fewer, again, whole = Small(), Small(), Small(), Small()
    with pytest.raises(ValueError):
        one.train(tmp_path / "run", 4, inside=raising_at(8, ValueError()))
    fewer.train(tmp_path / "run", 2)
    assert fewer.seen == []
    assert "final_model" not in names(tmp_path / "run")
    assert fewer.told[-1] == (
        "2 of 2 epochs are complete, and it stands inside epoch 3: nothing to do"
    )
    again.train(tmp_path / "run", 4)
    whole.train(tmp_path / "truth", 4)
    assert again.bits() == whole.bits()

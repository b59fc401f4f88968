"""In a notebook the same live objects go on after an error: nothing of the lost step is in them."""

import pytest
from torch import nn
from torch.utils.data import DataLoader

from tests.run.small import Small


class Accumulating(Small):
    """Steps with the gradients of two batches."""

    def __init__(self):
        super().__init__()
        self.loader = DataLoader(self.data, batch_size=3, shuffle=True)

    def step(self, run, batch, inside):
        _, x, y = batch
        nn.functional.cross_entropy(self.model(x), y).backward()
        inside(run, run.micro_batch)
        if run.micro_batch == 1:
            self.optimizer.step()
            self.optimizer.zero_grad()


@pytest.mark.parametrize("behind", [0, 1])
def test_gradients_of_a_step_that_an_error_has_cut_off_are_not_stepped_with(tmp_path, behind):
    def inside(run, n_before):
        if (run.step, n_before) == (3, behind):
            raise ValueError("in the accumulation")

    whole, one = Accumulating(), Accumulating()
    whole.train(tmp_path / "truth")
    with pytest.raises(ValueError):
        one.train(tmp_path / "run", inside=inside)
    assert "saved error_checkpoint" in one.said
    one.train(tmp_path / "run")
    assert one.bits() == whole.bits()

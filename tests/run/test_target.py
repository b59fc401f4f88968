"""A run that has reached its target: nothing is trained again, and what comes behind it is exact."""

import pytest
import torch

import ckptkit
from ckptkit.run.aliases import identity
from tests.run.small import Small


def train(folder, *, by_steps):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    told = []
    bodies = 0
    with ckptkit.Run(
        folder, {"model": model, "optimizer": optimizer}, resume="auto", tell=told.append
    ) as run:
        for _ in run.steps(3) if by_steps else run.epochs(3):
            bodies += 1
            model(torch.randn(4, 2)).sum().backward()
            optimizer.step()
        drawn_behind = torch.rand(2).tolist()
    return bodies, drawn_behind, told


@pytest.mark.parametrize("by_steps", [True, False])
def test_reached_again_it_says_so_and_what_is_drawn_behind_the_loop_is_what_it_was(
    tmp_path, by_steps
):
    bodies, drawn, _ = train(tmp_path, by_steps=by_steps)
    assert bodies == 3
    bodies, again, told = train(tmp_path, by_steps=by_steps)
    assert bodies == 0
    assert any("nothing to do" in text for text in told)
    assert again == drawn


def test_of_several_processes_the_one_that_writes_gives_the_final_name(tmp_path):
    """Another's newest checkpoint is the one that it was resumed from."""
    one = Small()
    run = one.train(tmp_path, 2)
    saver, folder = run._saver, run.experiment.checkpoints
    saver.last, saver._ranks.rank = folder / "checkpoint_epoch_1", 1
    saver.name_last("final_model")
    assert identity(folder / "final_model") == identity(folder / "checkpoint_epoch_2")
    saver._ranks.rank = 0
    saver.name_last("final_model")
    assert identity(folder / "final_model") == identity(folder / "checkpoint_epoch_1")

"""Two loops over batches side by side: what they hand out together is one body."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, raising_at
from tests.run.test_kinds_of_loops import ByHand


class SideBySide(Small):
    """Steps at every second body, as where gradients are accumulated."""

    def __init__(self):
        super().__init__()
        self.loader = DataLoader(self.data, batch_size=2, shuffle=True)

    def loop(self, run, epochs, inside, tail):
        other = DataLoader(self.data, batch_size=2)
        for _ in run.epochs(epochs):
            pairs = zip(run.batches(self.loader), run.batches(other, "unlabelled"), strict=True)
            for one, two in pairs:
                both = [torch.cat(pair) for pair in zip(one, two, strict=True)]
                self.step(run, both, inside)

    def step(self, run, batch, inside):
        index, x, y = batch
        self.seen.append((run.micro_batch, index.tolist()))
        inside(run, "before")
        nn.functional.cross_entropy(self.model(x), y).backward()
        if run.micro_batch == 1:
            self.optimizer.step()
            self.optimizer.zero_grad()


def test_gradients_are_accumulated_over_bodies_however_many_loops_feed_them(tmp_path):
    whole = SideBySide()
    whole.train(tmp_path / "truth", 2, save=SavePolicy())
    assert [number for number, _ in whole.seen] == [0, 1] * 6
    assert whole.last.step == 6
    for step in range(6):
        folder, again = tmp_path / f"run-{step}", SideBySide()
        with pytest.raises(ValueError):
            SideBySide().train(folder, 2, inside=raising_at(step, ValueError()), save=SavePolicy())
        again.train(folder, 2, save=SavePolicy())
        assert again.bits() == whole.bits(), step


def test_without_an_optimizer_a_body_of_two_loops_is_one_step(tmp_path):
    class Pairs(ByHand):
        def loop(self, run, epochs, inside, tail):
            for _ in run.epochs(epochs):
                pairs = zip(run.batches(self.loader), run.batches(self.loader, "b"), strict=True)
                for one, _two in pairs:
                    self.step(run, one, inside)

    one = Pairs()
    one.train(tmp_path, 2, save=SavePolicy())
    assert one.last.step == 6


def test_of_a_loop_inside_another_every_body_counts(tmp_path):
    class Nested(SideBySide):
        def loop(self, run, epochs, inside, tail):
            for _ in run.epochs(epochs):
                for _outer in run.batches(DataLoader(self.data, batch_size=12), "outer"):
                    for batch in run.batches(self.loader):
                        self.step(run, batch, inside)

    one = Nested()
    one.train(tmp_path, 1, save=SavePolicy())
    assert [number for number, _ in one.seen] == [0, 1] * 3
    assert one.last.step == 3

"""Loops as people write them: accumulated gradients, two optimizers or none, steps, own loaders."""

import random

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from ckptkit.errors import MismatchError
from ckptkit.run.policy import SavePolicy
from tests.run.small import Small, digest, names, raising_at, seeded


def interrupted_everywhere(tmp_path, kind, steps, **options):
    """Compare the run that never stopped with those that failed in one of their steps."""
    whole = kind()
    whole.train(tmp_path / "truth", **options)
    for step in steps:
        folder = tmp_path / f"run-{step}"
        with pytest.raises(ValueError):
            kind().train(folder, inside=raising_at(step, ValueError()), **options)
        again = kind()
        again.train(folder, **options)
        assert again.bits() == whole.bits(), step
        assert again.last.history == whole.last.history, step
        assert again.last.samples == whole.last.samples, step
    return whole


class Accumulating(Small):
    """Steps at every second batch; the third batch of each epoch waits for the next epoch."""

    def step(self, run, batch, inside):
        index, x, y = batch
        self.seen.append(index.tolist())
        inside(run, "before")
        (nn.functional.cross_entropy(self.model(x), y) / 2).backward()
        run.log(waiting=run.micro_batch)
        if run.micro_batch == 1:
            self.optimizer.step()
            self.optimizer.zero_grad()


def test_gradients_that_wait_at_an_epochs_end_are_stored_and_wait_again(tmp_path):
    whole = interrupted_everywhere(tmp_path, Accumulating, range(4))
    assert whole.last.step == 4
    first, again = Accumulating(), Accumulating()
    first.train(tmp_path / "kept", 1)
    from ckptkit import load

    found = next((tmp_path / "kept").glob("*/checkpoints/checkpoint_epoch_1"))
    with load(found) as checkpoint:
        assert "gradients" in checkpoint.document
    again.train(tmp_path / "kept", 3)
    assert again.bits() == whole.bits()


class TwoOptimizers(Small):
    def __init__(self):
        super().__init__()
        self.critic = nn.Linear(3, 1)
        self.second = torch.optim.SGD(self.critic.parameters(), lr=0.1, momentum=0.9)
        self.state |= {"critic": self.critic, "optimizers": {"critic": self.second}}

    def step(self, run, batch, inside):
        loss = self.critic(batch[1]).square().mean()
        loss.backward()
        inside(run, "critic")
        self.second.step()
        self.second.zero_grad()
        inside(run, "between")
        super().step(run, batch, inside)


def test_two_optimizers_are_one_step_and_a_failure_between_them_saves_nothing(tmp_path):
    whole = interrupted_everywhere(tmp_path, TwoOptimizers, ())
    assert whole.last.step == 9
    for moment, saved in (("critic", True), ("between", False), ("after", False)):
        folder = tmp_path / moment
        with pytest.raises(ValueError):
            TwoOptimizers().train(folder, inside=raising_at(4, ValueError(), moment))
        assert ("error_checkpoint" in names(folder)) is saved, moment
        again = TwoOptimizers()
        again.train(folder)
        assert again.bits() == whole.bits(), moment


class ByHand(Small):
    """Has no optimizer: its body moves the weights."""

    def __init__(self):
        super().__init__()
        del self.state["optimizer"]

    def step(self, run, batch, inside):
        index, x, y = batch
        self.seen.append(index.tolist())
        inside(run, "before")
        loss = nn.functional.cross_entropy(self.model(x), y)
        for parameter, grad in zip(
            self.model.parameters(), torch.autograd.grad(loss, list(self.model.parameters())),
            strict=True,
        ):  # fmt: skip
            with torch.no_grad():
                parameter.sub_(0.1 * grad)
        inside(run, "after")


def test_without_an_optimizer_every_body_is_a_step(tmp_path):
    whole = interrupted_everywhere(tmp_path, ByHand, (0, 2, 4))
    assert whole.last.step == 9
    with pytest.raises(ValueError):
        ByHand().train(tmp_path / "late", inside=raising_at(4, ValueError(), "after"))
    assert "error_checkpoint" not in names(tmp_path / "late")


class Steps(Small):
    """As nanoGPT trains: it draws its batches, and evaluates now and then."""

    def loop(self, run, epochs, inside, tail):
        for step in run.steps(12):
            if step % 4 == 0:
                self.model.eval()
                for _, x, y in run.evaluate(DataLoader(self.data, batch_size=6)):
                    run.log(val_loss=nn.functional.cross_entropy(self.model(x), y))
                self.model.train()
            rows = torch.randint(len(self.data), (4,))
            self.step(run, self.data[rows], inside)


def test_a_loop_of_steps_goes_on_at_its_step_with_its_draws(tmp_path):
    policy = SavePolicy(every_steps=5, best="val_loss")
    whole = interrupted_everywhere(tmp_path, Steps, (1, 4, 5, 8, 11), save=policy, row_steps=4)
    assert whole.last.step == 12
    assert {"checkpoint_step_5", "checkpoint_step_12", "final_model"} <= {
        *names(tmp_path / "truth")
    }
    again = Steps()
    again.train(tmp_path / "truth", save=policy)
    assert again.told[-1] == "12 of 12 steps are complete: nothing to do"


class OwnLoader(Small):
    """Brings torchdata's StatefulDataLoader, whose order is its own business."""

    workers = 0

    def __init__(self):
        super().__init__()
        from torchdata.stateful_dataloader import StatefulDataLoader

        self.loader = StatefulDataLoader(
            self.data, batch_size=4, shuffle=True, num_workers=self.workers
        )


class OwnLoaderWithWorkers(OwnLoader):
    workers = 2


@pytest.mark.filterwarnings("ignore")  # torchdata's own, of torch's newer versions
@pytest.mark.parametrize("kind", [OwnLoader, OwnLoaderWithWorkers])
def test_a_stateful_loader_is_stored_and_given_its_state_back(tmp_path, kind, monkeypatch):
    pytest.importorskip("torchdata")
    from torch.utils.data import _utils

    # how long it waits for a worker that it was left with before it ends it, five seconds otherwise
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    interrupted_everywhere(tmp_path, kind, (1, 3, 4))


class Numbers(IterableDataset):
    """A stream that knows its place."""

    def __init__(self):
        self.at = 0

    def __iter__(self):
        while self.at < 12:
            self.at += 1
            yield self.at, torch.full((3,), self.at / 12), self.at % 2
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


class Stream(Small):
    def __init__(self):
        super().__init__()
        self.loader = DataLoader(Numbers(), batch_size=4)


def test_a_stream_that_keeps_its_state_goes_on_in_its_middle(tmp_path):
    interrupted_everywhere(tmp_path, Stream, (0, 2, 3, 4))


def test_a_stream_without_a_state_is_refused_with_what_to_bring(tmp_path):
    class Blind(IterableDataset):
        def __iter__(self):
            yield 1

    one = Small()
    one.loader = DataLoader(Blind())
    with pytest.raises(MismatchError, match="StatefulDataLoader"):
        one.train(tmp_path)
    one.loader = iter([])
    with pytest.raises(MismatchError, match="no loader that can be resumed"):
        one.train(tmp_path)


class Skipping(Small):
    """A scaler that skips every third step, as it does where gradients overflow."""

    def __init__(self):
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**15, growth_interval=2)
        super().__init__(scaler=self.scaler)

    def step(self, run, batch, inside):
        index, x, y = batch
        self.seen.append(index.tolist())
        inside(run, "before")
        loss = nn.functional.cross_entropy(self.model(x), y)
        if run.samples % 36 == 8:
            loss = loss * float("inf")
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        inside(run, "after")


def test_a_step_that_the_scaler_skipped_is_no_step_and_is_done_again(tmp_path):
    whole = interrupted_everywhere(tmp_path, Skipping, (1, 2, 3, 5))
    assert whole.last.step == 8
    assert len(whole.seen) == 9


def test_generators_that_are_handed_over_go_on(tmp_path):
    class Drawing(Small):
        def run(self, folder, **options):
            self.own = random.Random(4)
            return super().run(folder, generators={"own": self.own}, **options)

        def step(self, run, batch, inside):
            super().step(run, batch, inside)
            with torch.no_grad():
                self.model[0].bias += self.own.random() / 100

    interrupted_everywhere(tmp_path, Drawing, (0, 3))


def test_two_loaders_of_one_epoch_each_keep_their_place(tmp_path):
    class Two(Small):
        def loop(self, run, epochs, inside, tail):
            for _ in run.epochs(2):
                for batch in run.batches(self.loader, "labelled"):
                    self.step(run, batch, inside)
                other = DataLoader(self.data, batch_size=6, shuffle=True)
                for batch in run.batches(other, "unlabelled"):
                    self.step(run, batch, inside)

    interrupted_everywhere(tmp_path, Two, (2, 3, 5, 7))


class BreaksOff(Small):
    """Takes two of the three batches of each epoch."""

    def loop(self, run, epochs, inside, tail):
        for _ in run.epochs(epochs):
            for number, batch in enumerate(run.batches(self.loader)):
                self.step(run, batch, inside)
                if number == 1:
                    break
            run.log(val_loss=self.evaluate())


def test_an_epoch_whose_loop_is_left_by_break_is_over(tmp_path):
    whole, first, again = BreaksOff(), BreaksOff(), BreaksOff()
    whole.train(tmp_path / "truth")
    first.train(tmp_path / "run", 1)
    again.train(tmp_path / "run")
    assert again.bits() == whole.bits()
    assert first.seen + again.seen == whole.seen
    assert (again.last.step, again.last.samples) == (6, 24)
    assert again.last.history == whole.last.history


def test_the_order_of_samples_is_that_of_the_seed_and_of_nobody_else(tmp_path):
    one, other = Small(), Small()
    one.train(tmp_path / "a", 1, seed=7)
    seeded(99)
    other.train(tmp_path / "b", 1, seed=7)
    assert one.seen == other.seen
    third = Small()
    third.train(tmp_path / "c", 1, seed=8)
    assert third.seen != one.seen
    assert digest(one.seen)

"""``run.stop()`` while a save is in flight: what it ends at is saved, whatever the policy skips."""

import threading

import pytest
import torch

from ckptkit.run.background import Background
from ckptkit.run.policy import SavePolicy
from ckptkit.verbs.save import PendingSave
from tests.run.small import Small


class Stopping(Small):
    """Stops in a body; the epoch's tail steps a schedule."""

    at = None

    def __init__(self):
        super().__init__(schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9))

    def loop(self, run, epochs, inside, tail):
        for _ in run.epochs(epochs):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
                if run.step == self.at:
                    run.stop()
            self.schedule.step()


@pytest.mark.parametrize("busy", ["wait", "skip"])
def test_a_stop_with_a_save_in_flight_is_saved_before_the_epochs_tail(tmp_path, busy, monkeypatch):
    policy = SavePolicy(background=True, every_steps=1, when_busy=busy)
    write, join, let_go = PendingSave.write, Background.join, threading.Event()

    def held(self):
        let_go.wait()  # in flight until somebody waits for it
        return write(self)

    def joined(self):
        let_go.set()
        join(self)

    one, again, whole = Stopping(), Stopping(), Stopping()
    one.at = 3  # in the fourth body, the first one of the second epoch
    whole.train(tmp_path / "truth", save=policy)
    with monkeypatch.context() as patch:
        patch.setattr(PendingSave, "write", held)
        patch.setattr(Background, "join", joined)
        one.train(tmp_path / "run", save=policy)
    again.train(tmp_path / "run", save=policy)
    assert one.last.step == 4
    assert one.seen + again.seen == whole.seen
    assert again.bits() == whole.bits()

"""What the trainers share: the device that is asked for, and the one that is not there."""

import pytest
import torch

from ckptkit.errors import MismatchError
from ckptkit_trainers.engine.place import device_of, placed
from ckptkit_trainers.engine.settings import Settings


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_answered_with_those_that_are(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(MismatchError, match=rf"--device {name}: .* no such device .* of: cpu;"):
        device_of(name)
    assert device_of("auto") == torch.device("cpu")


def test_the_same_seed_begins_every_stream_alike():
    drawn = []
    for _ in range(2):
        with placed(Settings(seed=5, device="cpu")):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)

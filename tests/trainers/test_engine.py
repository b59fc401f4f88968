"""What the trainers share: the device that is asked for, and the one that is not there."""

import re
from pathlib import Path

import pytest
import torch

import ckptkit_trainers
from ckptkit import errors
from ckptkit.errors import InputError, MismatchError
from ckptkit.hooks.manager import trainers
from ckptkit.training.named import settings_class
from ckptkit_trainers.engine.place import device_of, placed
from ckptkit_trainers.engine.settings import Settings, check_settings


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


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("batch_size", 0, "--batch-size: is 0; expected 1 or more; samples in a batch"),
     ("lr", float("nan"), "--lr: is nan; expected 0 or more"),
     ("precision", "fp8", "--precision: is 'fp8'; expected one of: fp32, bf16, fp16")],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_with_what_does(name, value, told):
    with pytest.raises(InputError, match=told), placed(Settings(**{name: value})):
        raise AssertionError("it was let in")


def test_the_defaults_of_every_trainer_make_sense():
    for trainer in trainers():
        check_settings(settings_class(trainer, trainer.config, "config")())


def test_no_mistake_of_a_user_leaves_with_the_exit_code_of_a_defect():
    """The kinds of errors that stand above others have no exit code of their own."""
    above = {kind.__name__ for kind in (errors.CkptkitError, *errors.CkptkitError.__subclasses__())}
    for file in Path(ckptkit_trainers.__path__[0]).rglob("*.py"):
        raised = re.findall(r"\braise (?:errors\.)?(\w+)\(", file.read_text())
        assert not above & set(raised), file

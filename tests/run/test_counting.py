"""Steps are counted where they happen, and a step that failed half-way is known."""

from collections import UserDict
from types import MappingProxyType

import pytest
import torch

from ckptkit.run.counting import StepCounter, optimizers_in
from ckptkit.run.emergency import classify, is_out_of_memory, smaller_batch_command


def nothing():
    pass


def optimizer():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    return torch.optim.SGD([weight], lr=0.1)


def test_only_completed_steps_count():
    one = optimizer()
    counter = StepCounter({"optimizer": one}, nothing, nothing)
    one.step()
    one.step()
    assert (counter.steps, counter.torn) == (2, False)
    counter.detach()
    one.step()
    assert counter.steps == 2


def test_a_step_that_fails_half_way_leaves_the_state_torn():
    one = optimizer()
    counter = StepCounter({"optimizer": one}, nothing, nothing)
    one.param_groups[0]["lr"] = "no number"
    with pytest.raises(TypeError):
        one.step()
    assert (counter.steps, counter.torn) == (0, True)


def test_of_several_optimizers_the_first_counts():
    first, second = optimizer(), optimizer()
    counter = StepCounter({"d": first, "g": second}, nothing, nothing)
    second.step()
    second.step()
    first.step()
    assert counter.steps == 1


def test_a_scaler_that_skips_a_step_counts_none():
    one = optimizer()
    counter = StepCounter({"optimizer": one}, nothing, nothing)
    scaler = torch.amp.GradScaler("cpu")
    loss = (one.param_groups[0]["params"][0] * float("inf")).sum()
    scaler.scale(loss).backward()
    scaler.step(one)
    scaler.update()
    assert counter.steps == 0


def test_optimizers_are_found_in_nested_state():
    g, d = optimizer(), optimizer()
    both = {"g": g, "d": d}
    for kind in (dict, UserDict, MappingProxyType):
        assert optimizers_in(kind({"n": 1, "model": torch.nn.Linear(1, 1), "all": both})) == [g, d]
        assert optimizers_in({"all": kind(both)}) == [g, d]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error):
    assert is_out_of_memory(error)
    assert classify(error, 7).name == "emergency_checkpoint_oom_epoch_7"
    wrapped = ValueError("in the worker")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


def test_another_error_is_an_error():
    assert classify(RuntimeError("shapes differ"), 3) == ("error", "error_checkpoint")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["train.py", "--batch-size", "8"], "train.py --batch-size 4 --resume latest"),
        (
            ["train.py", "--batch_size=8", "--lr", "1"],
            "train.py --batch_size=4 --lr 1 --resume latest",
        ),
        (["train.py"], "train.py --batch-size 16 --resume latest"),
        (["train.py", "--batch-size", "1"], "train.py --batch-size 1 --resume latest"),
        (["train.py", "--resume", "a/b", "--x"], "train.py --x --batch-size 16 --resume latest"),
        (["my train.py", "--resume=auto"], "'my train.py' --batch-size 16 --resume latest"),
    ],
)
def test_the_command_that_goes_on_has_half_the_batch(argv, expected):
    command = smaller_batch_command(argv, 32, "latest")
    assert command.partition(" ")[2] == expected

"""A small model that has really trained: what every hand-made checkpoint of the seeds is built of."""

from typing import NamedTuple

import torch


class Trained(NamedTuple):
    """Live state after some real optimizer steps."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler


def train(n_steps=2):
    """Two layers, AdamW, a cosine schedule and a GradScaler that is enabled, stepped for real."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 1),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = model(torch.randn(2, 3, 4, 4)).pow(2).mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
    return Trained(model, optimizer, scheduler, scaler)


def tensor_bytes(node):
    """The bytes of a tensor node, read through its storage."""
    from ckptkit.containers.logical import logical_source

    source = logical_source(node)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


def assert_same_state(section, live):
    """Every name, in order, and every byte of a state_dict is in a section."""
    assert list(section) == list(live)
    for name, value in live.items():
        assert tensor_bytes(section[name]) == value.detach().contiguous().numpy().tobytes(), name


def assert_same_optimizer(section, live):
    """Every slot of every parameter and every setting of every group is in the section."""
    state = live.state_dict()
    assert [dict(group.items())["lr"] for group in section["param_groups"].items] == [
        group["lr"] for group in state["param_groups"]
    ]
    assert list(section["state"]) == list(state["state"])
    for index, slots in state["state"].items():
        for name, value in slots.items():
            assert tensor_bytes(section["state"][index][name]) == value.numpy().tobytes()

"""Cases of training state: optimizers whose parameters changed, settings that differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from tests.mismatches.case import Case, Live, moments_of, settings_of, stepped
from tests.mismatches.nets import Net, Twins, seeded

AdamW = torch.optim.AdamW


def _groups_of(model: nn.Module, *tests: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Groups of the parameters whose names pass each test."""
    return [
        {"params": [value for name, value in model.named_parameters() if test(name)]}
        for test in tests
    ]


def _everything(model: nn.Module) -> Sequence[Any]:
    return list(model.parameters())


def _head_alone(model: nn.Module) -> Sequence[Any]:
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("head.")
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _by_decay(model: nn.Module) -> Sequence[Any]:
    return _groups_of(model, lambda name: name.endswith("weight"), lambda name: "bias" in name)


def _head_first(model: nn.Module) -> Sequence[Any]:
    return _groups_of(model, lambda name: name.startswith("head."),
                      lambda name: not name.startswith("head."))  # fmt: skip


def saved(
    make: Callable[[], nn.Module], choose: Callable[[nn.Module], Sequence[Any]] = _everything,
    *, total: int = 100, dtype: torch.dtype | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A training dict of a run that took two steps; ``truth`` is what to compare with."""
    model = seeded(make, 1)
    optimizer = AdamW(choose(model), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    stepped(model, optimizer)
    truth = {name: value.clone() for name, value in moments_of(model, optimizer).items()}
    state = optimizer.state_dict()
    if dtype is not None:
        truth = {k: v if k.endswith("step") else v.to(dtype).float() for k, v in truth.items()}
        for of_one in state["state"].values():
            of_one |= {k: v.to(dtype) for k, v in of_one.items() if k != "step"}
    return {
        "epoch": 2,
        "model_state_dict": dict(model.state_dict()),
        "optimizer_state_dict": state,
        "scheduler_state_dict": scheduler.state_dict(),
        "truth": truth,
    }


def live(
    make: Callable[[], nn.Module], choose: Callable[[nn.Module], Sequence[Any]] = _everything
) -> Callable[[], Live]:
    def build() -> Live:
        model = seeded(make, 2)
        return Live(model, AdamW(choose(model), lr=1e-3), checked="moments")

    return build


def with_schedule(lr: float, total: int) -> Callable[[], Live]:
    def build() -> Live:
        model = seeded(Net, 2)
        optimizer = AdamW(model.parameters(), lr=lr)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
        return Live(model, optimizer, scheduler, checked="settings")

    return build


def moments(whole: dict[str, Any], made: Live) -> dict[str, Any]:
    """The moments of all parameters that the live optimizer has."""
    names = {id(value): name for name, value in made.model.named_parameters()}
    held = [names[id(p)] for group in made.optimizer.param_groups for p in group["params"]]
    return {k: v for k, v in whole["truth"].items() if k.rpartition(".")[0] in held}


def asked(_saved: dict[str, Any], made: Live) -> dict[str, Any]:
    """What the live objects say before anything is loaded is what was asked for."""
    return settings_of(made.optimizer, made.scheduler)


CASES = (
    Case(
        name="an optimizer of the same parameters in another order",
        story="Two layers of one shape changed places in the code; the file has numbers for names.",
        saved=lambda: saved(lambda: Twins("up", "down")), live=live(lambda: Twins("down", "up")),
        truth=moments,
    ),
    Case(
        name="param_groups regrouped",
        story="One group in the file; weights and biases apart in the script.",
        saved=lambda: saved(Net), live=live(Net, _by_decay), truth=moments,
    ),
    Case(
        name="param_groups in another order",
        story="Head last in the file, head first in the script: as many groups, other members.",
        saved=lambda: saved(Net, lambda model: list(reversed(_head_first(model)))),
        live=live(Net, _head_first), truth=moments,
    ),
    Case(
        name="the backbone was frozen",
        story="All parameters in the file; the script trains the head alone.",
        saved=lambda: saved(Net), live=live(Net, _head_alone), truth=moments,
    ),
    Case(
        name="a layer was added, with its optimizer",
        story="Three blocks in the file, four in the script.",
        saved=lambda: saved(Net), live=live(lambda: Net(depth=4)), truth=moments,
        tries=({}, {"allow_missing": ("blocks.3.*",)}),
    ),
    Case(
        name="optimizer state in half precision",
        story="A script saved the moments as float16 to halve the file.",
        saved=lambda: saved(Net, dtype=torch.float16), live=live(Net), truth=moments,
    ),
    Case(
        name="another learning rate and another length",
        story="lr 0.001 and T_max 100 in the file; the command line asks for 0.0001 and 200.",
        saved=lambda: saved(Net), live=with_schedule(1e-4, 200), truth=asked,
        tries=({}, {"on_conflict": "current"}),
    ),
)  # fmt: skip

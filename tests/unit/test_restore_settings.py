import pytest
import torch

import ckptkit
from ckptkit.errors import SettingConflictError
from tests.unit.training import named_state, network, same, saved, train


def rows(report, name="optimizer"):
    return {
        (row.place, row.field): (row.asked, row.saved, row.used)
        for row in report.component(name).settings
    }


@pytest.fixture
def path(tmp_path):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.01, betas=(0.8, 0.9))
    train(model, optimizer)
    return saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)


def asking():
    model = network(seed=4)
    return model, torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.5)


def test_settings_of_the_checkpoint_win_unless_asked_otherwise(path):
    model, optimizer = asking()
    report = ckptkit.restore(path, {"model": model, "optimizer": optimizer})
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.1, 0.01, (0.8, 0.9))
    assert rows(report) == {
        ("optimizer, group 0", "lr"): (0.001, 0.1, 0.1),
        ("optimizer, group 0", "weight_decay"): (0.5, 0.01, 0.01),
        ("optimizer, group 0", "betas"): ((0.9, 0.999), (0.8, 0.9), (0.8, 0.9)),
    }


def test_current_settings_win_where_asked_and_the_state_comes_all_the_same(path):
    model, optimizer = asking()
    targets = {"model": model, "optimizer": optimizer}
    report = ckptkit.restore(path, targets, on_conflict="current")
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.001, 0.5, (0.9, 0.999))
    assert rows(report)["optimizer, group 0", "lr"] == (0.001, 0.1, 0.001)
    assert len(optimizer.state) == 6


def test_fields_are_decided_one_by_one(path):
    model, optimizer = asking()
    targets = {"model": model, "optimizer": optimizer}
    ckptkit.restore(path, targets, on_conflict={"lr": "current", "weight_decay": "checkpoint"})
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.001, 0.01)


def test_a_conflict_can_be_an_error_and_then_nothing_is_changed(path):
    model, optimizer = asking()
    with pytest.raises(SettingConflictError, match=r"weight_decay is 0\.01 in the checkpoint"):
        ckptkit.restore(
            path, {"model": model, "optimizer": optimizer}, on_conflict={"weight_decay": "error"}
        )
    assert not optimizer.state
    assert optimizer.param_groups[0]["lr"] == 0.001


def test_how_to_compute_belongs_to_this_machine(tmp_path):
    """``foreach`` and ``fused`` say how, not what: the live choice stays unless it is named."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, foreach=True)
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4)
    resumed = torch.optim.Adam(other.parameters(), lr=0.1, fused=True)
    report = ckptkit.restore(path, {"model": other, "optimizer": resumed})
    group = resumed.param_groups[0]
    assert (group["foreach"], group["fused"]) == (None, True)
    assert rows(report)["optimizer, group 0", "fused"] == (True, None, True)
    choice = {"foreach": "checkpoint", "fused": "checkpoint"}
    ckptkit.restore(path, {"model": other, "optimizer": resumed}, on_conflict=choice)
    assert (resumed.param_groups[0]["foreach"], resumed.param_groups[0]["fused"]) == (True, None)


def test_a_rate_in_a_tensor_stays_in_a_tensor(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4)
    resumed = torch.optim.Adam(other.parameters(), lr=torch.tensor(0.25), foreach=False)
    ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert torch.equal(resumed.param_groups[0]["lr"], torch.tensor(0.5))


def split(model):
    """Weights decay and biases do not, as in every recipe."""
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    return weights, biases


def test_groups_may_be_regrouped_and_reordered(tmp_path):
    model = network()
    weights, biases = split(model)
    groups = [{"params": weights, "weight_decay": 0.3}, {"params": biases, "lr": 0.01}]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4)
    weights, biases = split(other)
    resumed = torch.optim.AdamW(
        [{"params": biases[::-1]}, {"params": weights[:1]}, {"params": weights[1:]}]
    )
    ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(model, optimizer))
    assert [group["lr"] for group in resumed.param_groups] == [0.01, 0.1, 0.1]
    assert [group["weight_decay"] for group in resumed.param_groups] == [0.01, 0.3, 0.3]


def test_added_frozen_and_reshaped_parameters_are_told_one_by_one(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4)
    other[3] = torch.nn.Linear(6, 9)  # another head
    other.add_module("4", torch.nn.Linear(9, 6))
    frozen = list(other[0].parameters())
    resumed = torch.optim.Adam([p for p in other.parameters() if all(p is not f for f in frozen)])
    targets = {"model": other, "optimizer": resumed}
    report = ckptkit.restore(path, targets, on_shape="skip", allow_missing=True, min_coverage=0)
    component = report.component("optimizer")
    told = {(line.kind, line.name) for line in component.lines}
    fresh = {("fresh", name) for name in ("3.weight", "3.bias", "4.weight", "4.bias")}
    dropped = {("dropped", name) for name in ("0.weight", "0.bias", "3.weight", "3.bias")}
    assert told == fresh | dropped
    assert component.status == "partly"
    assert (component.coverage.tensors, component.coverage.of_tensors) == (2, 6)
    assert named_state(other, resumed).keys() == {"2.weight", "2.bias"}
    assert same(named_state(other, resumed)["2.bias"], named_state(model, optimizer)["2.bias"])


def test_the_optimizer_follows_the_renames_of_its_model(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=torch.nn.DataParallel(model), optimizer=optimizer)
    other = network(seed=4)
    renamed = torch.nn.Sequential()
    for name, part in other.named_children():
        renamed.add_module({"3": "head"}.get(name, name), part)
    resumed = torch.optim.Adam(renamed.parameters())
    targets = {"model": renamed, "optimizer": resumed}
    report = ckptkit.restore(path, targets, rename=[(r"^module\.3\.", "module.head.")])
    expected = {
        name.replace("3.", "head."): state for name, state in named_state(model, optimizer).items()
    }
    assert same(named_state(renamed, resumed), expected)
    lines = [line for line in report.component("optimizer").lines if line.kind == "renamed"]
    assert ("head.weight", "module.3.weight") in {(line.name, line.source) for line in lines}


def test_fork_takes_the_state_and_leaves_the_rate_to_the_new_schedule(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.2)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    train(model, optimizer, schedule)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer, scheduler=schedule)
    other = network(seed=4)
    resumed = torch.optim.SGD(other.parameters(), lr=0.03, momentum=0.9)
    new = torch.optim.lr_scheduler.LinearLR(resumed, 0.5, total_iters=4)
    targets = {"model": other, "optimizer": resumed, "scheduler": new}
    ckptkit.restore(path, targets, mode="fork")
    group = resumed.param_groups[0]
    assert (group["lr"], group["initial_lr"], group["weight_decay"]) == (0.015, 0.03, 0.2)
    assert new.last_epoch == 0
    assert same(named_state(other, resumed), named_state(model, optimizer))

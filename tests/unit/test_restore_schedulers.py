import copy

import pytest
import torch
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR

import ckptkit
from ckptkit.errors import MismatchError, SettingConflictError
from tests.unit.training import network, quietly, same, saved, train


class Warm:
    """A callable with a state of its own, which LambdaLR stores."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return 1 / (1 + self.rate * step)


def sequence(optimizer, first=2, length=10):
    parts = [
        lrs.LinearLR(optimizer, 0.25, total_iters=first),
        lrs.CosineAnnealingLR(optimizer, length),
    ]
    return quietly(lrs.SequentialLR, optimizer, parts, milestones=[first])


def chain(optimizer, gamma=0.9):
    return lrs.ChainedScheduler(
        [lrs.ConstantLR(optimizer, 0.5, 2), lrs.ExponentialLR(optimizer, gamma)]
    )


#: name -> (as saved, as asked for now, with another hyper-parameter)
KINDS = {
    "LambdaLR": (lambda o: lrs.LambdaLR(o, Warm(0.5)), lambda o: lrs.LambdaLR(o, Warm(0.5))),
    "LambdaLR of a function": (lambda o: lrs.LambdaLR(o, lambda step: 0.9**step), lambda o: lrs.LambdaLR(o, lambda step: 0.7**step)),
    "MultiplicativeLR": (lambda o: lrs.MultiplicativeLR(o, lambda step: 0.9), lambda o: lrs.MultiplicativeLR(o, lambda step: 0.8)),
    "StepLR": (lambda o: lrs.StepLR(o, 2, 0.5), lambda o: lrs.StepLR(o, 3, 0.1)),
    "MultiStepLR": (lambda o: lrs.MultiStepLR(o, [2, 4, 4]), lambda o: lrs.MultiStepLR(o, [1, 5], 0.5)),
    "ConstantLR": (lambda o: lrs.ConstantLR(o, 0.5, 4), lambda o: lrs.ConstantLR(o, 0.25, 8)),
    "LinearLR": (lambda o: lrs.LinearLR(o, 0.1, total_iters=9), lambda o: lrs.LinearLR(o, 0.2, total_iters=7)),
    "ExponentialLR": (lambda o: lrs.ExponentialLR(o, 0.9), lambda o: lrs.ExponentialLR(o, 0.8)),
    "PolynomialLR": (lambda o: lrs.PolynomialLR(o, 9, 2.0), lambda o: lrs.PolynomialLR(o, 20, 1.0)),
    "CosineAnnealingLR": (lambda o: lrs.CosineAnnealingLR(o, 4), lambda o: lrs.CosineAnnealingLR(o, 100, 0.001)),
    "CosineAnnealingWarmRestarts": (
        lambda o: lrs.CosineAnnealingWarmRestarts(o, 2, 2), lambda o: lrs.CosineAnnealingWarmRestarts(o, 3, 1)),
    "CyclicLR": (lambda o: lrs.CyclicLR(o, 0.01, 0.1, 3), lambda o: lrs.CyclicLR(o, 0.01, 0.2, 4)),
    "CyclicLR, exp_range": (
        lambda o: lrs.CyclicLR(o, 0.01, 0.1, 3, mode="exp_range", gamma=0.9),
        lambda o: lrs.CyclicLR(o, 0.01, 0.1, 3, mode="triangular2")),
    "OneCycleLR": (lambda o: lrs.OneCycleLR(o, 0.3, 20), lambda o: lrs.OneCycleLR(o, 0.3, 40)),
    "ReduceLROnPlateau": (lambda o: lrs.ReduceLROnPlateau(o, patience=0), lambda o: lrs.ReduceLROnPlateau(o, factor=0.5, patience=1)),
    "SequentialLR": (sequence, lambda o: sequence(o, 6, 20)),
    "ChainedScheduler": (chain, lambda o: chain(o, 0.6)),
    "SWALR": (lambda o: SWALR(o, 0.01, 4), lambda o: SWALR(o, 0.05, 8, "linear")),
}  # fmt: skip


def setting(make, *, lr=0.1, seed=0):
    model = network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return model, optimizer, make(optimizer)


def settle(kind, tmp_path, how="ckptkit", steps=5):
    """Train, save, and return the place and what was saved."""
    model, optimizer, schedule = setting(KINDS[kind][0])
    train(model, optimizer, schedule, steps=steps)
    path = saved(tmp_path, how, model=model, optimizer=optimizer, scheduler=schedule)
    return path, (model, optimizer, schedule)


def targets(parts):
    return dict(zip(("model", "optimizer", "scheduler"), parts, strict=True))


def rates(optimizer):
    return [
        (group["lr"], group.get("momentum"), group.get("betas")) for group in optimizer.param_groups
    ]


def plain_state(schedule):
    state = copy.deepcopy(schedule.state_dict())
    return {key: value for key, value in state.items() if not callable(value)}


@pytest.mark.parametrize("how", ["ckptkit", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_goes_on_as_if_it_had_never_stopped(kind, how, tmp_path):
    path, (model, optimizer, schedule) = settle(kind, tmp_path, how)
    other = setting(KINDS[kind][0], seed=7)
    report = ckptkit.restore(path, targets(other))
    assert report.component("scheduler").settings == ()
    assert rates(other[1]) == rates(optimizer)
    for _ in range(6):
        train(model, optimizer, schedule, steps=1)
        train(*other, steps=1)
        assert rates(other[1]) == rates(optimizer)
    assert same(dict(other[0].state_dict()), dict(model.state_dict()))
    assert same(plain_state(other[2]), plain_state(schedule))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ReduceLROnPlateau"])
def test_where_nothing_differs_current_settings_change_nothing(kind, tmp_path):
    """What a schedule moves (rate, momentum) is position, though the optimizer was asked for more."""
    path, (_, optimizer, schedule) = settle(kind, tmp_path)
    other = setting(KINDS[kind][0], seed=7)
    ckptkit.restore(path, targets(other), on_conflict="current")
    assert rates(other[1]) == rates(optimizer)
    assert same(plain_state(other[2]), plain_state(schedule))


@pytest.mark.parametrize(
    "kind",
    [k for k in KINDS if k not in ("LambdaLR", "LambdaLR of a function", "MultiplicativeLR")],
)
def test_the_schedule_of_the_checkpoint_wins_unless_asked_otherwise(kind, tmp_path):
    path, (model, optimizer, schedule) = settle(kind, tmp_path)
    other = setting(KINDS[kind][1], seed=7)
    report = ckptkit.restore(path, targets(other))
    assert [row for row in report.component("scheduler").settings if row.used != row.saved] == []
    told = report.component("scheduler").settings + report.component("optimizer").settings
    assert told
    for _ in range(6):
        train(model, optimizer, schedule, steps=1)
        train(*other, steps=1)
        assert rates(other[1]) == rates(optimizer)


REPLAYED = [kind for kind in KINDS if kind not in ("ReduceLROnPlateau", "SWALR")]


@pytest.mark.parametrize(
    "order", [("model", "optimizer", "scheduler"), ("scheduler", "optimizer", "model")]
)
@pytest.mark.parametrize("kind", REPLAYED)
def test_current_settings_give_the_rates_of_a_run_that_always_had_them(kind, order, tmp_path):
    """The position is kept, and the rate at it is that of an unbroken run, to the bit."""
    path, _ = settle(kind, tmp_path)
    unbroken = setting(KINDS[kind][1])
    train(*unbroken, steps=5)
    other = setting(KINDS[kind][1], seed=7)
    named = targets(other)
    ckptkit.restore(path, {name: named[name] for name in order}, on_conflict="current")
    assert rates(other[1]) == rates(unbroken[1])
    assert same(plain_state(other[2]), plain_state(unbroken[2]))
    for _ in range(6):
        train(*unbroken, steps=1)
        train(*other, steps=1)
        assert rates(other[1]) == rates(unbroken[1])


@pytest.mark.parametrize(
    "kind", ["CosineAnnealingLR", "LinearLR", "SequentialLR", "ChainedScheduler", "StepLR"]
)
def test_a_new_rate_wins_in_optimizer_and_schedule(kind, tmp_path):
    path, _ = settle(kind, tmp_path)
    unbroken = setting(KINDS[kind][0], lr=0.7)
    train(*unbroken, steps=5)
    other = setting(KINDS[kind][0], lr=0.7, seed=7)
    report = ckptkit.restore(path, targets(other), on_conflict={"lr": "current"})
    fields = {row.field for part in report.components for row in part.settings}
    assert {"initial_lr", "base_lrs", "lr"} <= fields
    for _ in range(6):
        assert rates(other[1]) == rates(unbroken[1])
        train(*unbroken, steps=1)
        train(*other, steps=1)


def test_only_the_field_that_was_asked_for_changes(tmp_path):
    path, _ = settle("CosineAnnealingLR", tmp_path)
    other = setting(lambda o: lrs.CosineAnnealingLR(o, 100, eta_min=0.05), lr=0.9)
    report = ckptkit.restore(path, targets(other), on_conflict={"T_max": "current"})
    assert (other[2].T_max, other[2].eta_min, other[2].base_lrs) == (100, 0.0, [0.1])
    row = next(row for row in report.component("scheduler").settings if row.field == "T_max")
    assert (row.asked, row.saved, row.used) == (100, 4, 100)


def test_a_conflict_in_a_schedule_can_be_an_error(tmp_path):
    path, _ = settle("CosineAnnealingLR", tmp_path)
    other = setting(KINDS["CosineAnnealingLR"][1])
    with pytest.raises(SettingConflictError, match="T_max is 4 in the checkpoint and 100 here"):
        ckptkit.restore(path, targets(other), on_conflict={"T_max": "error"})
    assert other[2].last_epoch == 0


def test_a_position_beyond_the_end_of_the_schedule_asked_for_is_refused(tmp_path):
    path, _ = settle("OneCycleLR", tmp_path, steps=12)
    other = setting(lambda o: lrs.OneCycleLR(o, 0.3, 8))
    with pytest.raises(MismatchError, match="no learning rate at step 12"):
        ckptkit.restore(path, targets(other), on_conflict="current")


def test_swalr_anneals_to_the_rate_asked_for_from_where_it_began(tmp_path):
    path, (_, optimizer, _) = settle("SWALR", tmp_path, steps=2)
    assert optimizer.param_groups[0]["lr"] < 0.1
    unbroken = setting(lambda o: SWALR(o, 0.05, 4))
    train(*unbroken, steps=2)
    other = setting(lambda o: SWALR(o, 0.05, 4), seed=7)
    ckptkit.restore(path, targets(other), on_conflict="current")
    for _ in range(4):
        assert other[1].param_groups[0]["lr"] == pytest.approx(unbroken[1].param_groups[0]["lr"])
        train(*unbroken, steps=1)
        train(*other, steps=1)


def test_a_plateau_keeps_its_count_and_takes_the_settings_asked_for(tmp_path):
    path, (_, _, schedule) = settle("ReduceLROnPlateau", tmp_path)
    other = setting(lambda o: lrs.ReduceLROnPlateau(o, factor=0.5, patience=9), lr=0.7)
    choice = {"factor": "current", "patience": "current"}
    ckptkit.restore(path, targets(other), on_conflict=choice)
    assert (other[2].factor, other[2].patience) == (0.5, 9)
    assert (other[2].best, other[2].num_bad_epochs) == (schedule.best, schedule.num_bad_epochs)
    assert other[1].param_groups[0]["lr"] == schedule.optimizer.param_groups[0]["lr"]


PAIRS = [
    ("StepLR", "CosineAnnealingLR"), ("CosineAnnealingLR", "StepLR"), ("ExponentialLR", "StepLR"),
    ("StepLR", "ExponentialLR"), ("LambdaLR", "StepLR"), ("StepLR", "LambdaLR"),
    ("OneCycleLR", "CyclicLR"), ("SequentialLR", "CosineAnnealingLR"), ("ChainedScheduler", "SequentialLR"),
    ("ReduceLROnPlateau", "StepLR"), ("CosineAnnealingLR", "CosineAnnealingWarmRestarts"), ("SWALR", "LinearLR"),
]  # fmt: skip


@pytest.mark.parametrize(("stored", "live"), PAIRS)
def test_another_class_is_told_by_its_fields(stored, live, tmp_path):
    """torch takes the state of any scheduler, sets its fields, and goes on with a wrong schedule."""
    path, _ = settle(stored, tmp_path)
    other = setting(KINDS[live][0])
    before = plain_state(other[2])
    with pytest.raises(MismatchError, match=f"is no {live}"):
        ckptkit.restore(path, targets(other))
    assert same(plain_state(other[2]), before)


def test_a_class_of_ones_own_is_taken_as_it_is_and_its_differences_are_shown(tmp_path):
    class Wavy(lrs.LRScheduler):
        def __init__(self, optimizer, period):
            self.period = period
            super().__init__(optimizer)

        def get_lr(self):
            return [base * (1 + self.last_epoch % self.period) for base in self.base_lrs]

    model, optimizer, schedule = setting(lambda o: Wavy(o, 3))
    train(model, optimizer, schedule, steps=5)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer, scheduler=schedule)
    other = setting(lambda o: Wavy(o, 4))
    report = ckptkit.restore(path, targets(other), on_conflict="current")
    assert (other[2].period, other[2].last_epoch) == (3, 5)
    assert [row.field for row in report.component("scheduler").settings] == ["period"]


def test_a_schedule_alone_brings_its_rate_into_the_optimizer(tmp_path):
    path, (_, optimizer, _) = settle("ExponentialLR", tmp_path)
    _, other, schedule = setting(KINDS["ExponentialLR"][0])
    report = ckptkit.restore(path, {"scheduler": schedule})
    assert rates(other) == rates(optimizer)
    assert "its optimizer is not restored" in report.component("scheduler").notes[0]


def test_two_schedules_of_one_optimizer_both_go_on(tmp_path):
    def make(o):
        return lrs.LinearLR(o, 0.1, total_iters=3), lrs.ExponentialLR(o, 0.9)

    model, optimizer, both = setting(make)
    train(model, optimizer, *both, steps=5)
    path = saved(
        tmp_path,
        "ckptkit",
        model=model,
        optimizer=optimizer,
        scheduler=dict(zip("ab", both, strict=True)),
    )
    other, resumed, two = setting(make, seed=7)
    ckptkit.restore(
        path, {"model": other, "optimizer": resumed, "scheduler": dict(zip("ab", two, strict=True))}
    )
    for _ in range(4):
        assert rates(resumed) == rates(optimizer)
        train(model, optimizer, *both, steps=1)
        train(other, resumed, *two, steps=1)


def test_new_settings_of_two_schedules_count_from_the_stored_rate_on(tmp_path):
    """Nobody knows in which order two schedules were stepped: their past is not made up."""

    def make(gamma):
        return lambda o: (lrs.ExponentialLR(o, gamma), lrs.ExponentialLR(o, 0.9))

    model, optimizer, both = setting(make(0.5))
    train(model, optimizer, *both, steps=3)
    state = {
        "model": model,
        "optimizer": optimizer,
        "scheduler": dict(zip("ab", both, strict=True)),
    }
    path = saved(tmp_path, "ckptkit", **state)
    other, resumed, two = setting(make(0.7))
    named = {"model": other, "optimizer": resumed, "scheduler": dict(zip("ab", two, strict=True))}
    report = ckptkit.restore(path, named, on_conflict="current")
    assert rates(resumed) == rates(optimizer)
    assert "several schedulers" in report.component("scheduler/a").notes[0]
    rate = resumed.param_groups[0]["lr"]
    two[0].step()
    assert resumed.param_groups[0]["lr"] == rate * 0.7


def test_lists_of_one_value_a_group_follow_the_groups(tmp_path):
    def make(order):
        model = network()
        groups = [{"params": [list(model.parameters())[i]], "lr": lr} for i, lr in order]
        optimizer = torch.optim.SGD(groups, lr=1.0)
        return model, optimizer, lrs.LambdaLR(optimizer, lambda step: 1 / (1 + step))

    model, optimizer, schedule = make([(0, 0.1), (2, 0.2), (4, 0.4)])
    train(model, optimizer, schedule)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer, scheduler=schedule)
    other = make([(4, 0.4), (0, 0.1), (2, 0.2)])
    ckptkit.restore(path, targets(other))
    assert other[2].base_lrs == [0.4, 0.1, 0.2]
    train(model, optimizer, schedule)
    train(*other)
    assert sorted(rates(other[1])) == sorted(rates(optimizer))
    assert same(dict(other[0].state_dict()), dict(model.state_dict()))


def test_limits_of_one_value_a_group_follow_the_groups(tmp_path):
    def make(order):
        model = network()
        groups = [{"params": [list(model.parameters())[i]]} for i, _ in order]
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
        low, high = [low for _, low in order], [2 * low for _, low in order]
        return model, optimizer, lrs.CyclicLR(optimizer, low, high, 3)

    model, optimizer, schedule = make([(0, 0.1), (2, 0.2), (4, 0.4)])
    train(model, optimizer, schedule)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer, scheduler=schedule)
    other = make([(4, 9.0), (0, 9.0), (2, 9.0)])
    ckptkit.restore(path, targets(other))
    assert (other[2].base_lrs, other[2].max_lrs) == ([0.4, 0.1, 0.2], [0.8, 0.2, 0.4])
    train(model, optimizer, schedule)
    train(*other)
    assert same(dict(other[0].state_dict()), dict(model.state_dict()))


def test_a_dry_run_of_a_schedule_changes_nothing(tmp_path):
    path, _ = settle("SequentialLR", tmp_path)
    other = setting(KINDS["SequentialLR"][1])
    before, rate = plain_state(other[2]), rates(other[1])
    report = ckptkit.plan_restore(path, targets(other), on_conflict="current")
    assert report.ok
    assert same(plain_state(other[2]), before)
    assert rates(other[1]) == rate


@pytest.mark.parametrize("kind", ["StepLR", "CosineAnnealingLR", "LinearLR"])
def test_a_very_long_run_is_not_replayed_where_torch_has_a_closed_form(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("ckptkit.torch_bridge.schedulers.MAX_REPLAYED_STEPS", 3)
    path, _ = settle(kind, tmp_path)
    unbroken = setting(KINDS[kind][1])
    train(*unbroken, steps=5)
    other = setting(KINDS[kind][1], seed=7)
    ckptkit.restore(path, targets(other), on_conflict="current")
    for _ in range(3):
        assert rates(other[1])[0][0] == pytest.approx(rates(unbroken[1])[0][0], rel=1e-12)
        train(*unbroken, steps=1)
        train(*other, steps=1)


def test_fractions_of_epochs_are_a_position_too(tmp_path):
    model, optimizer, schedule = setting(lambda o: lrs.CosineAnnealingWarmRestarts(o, 2, 2))
    for step in range(9):
        optimizer.step()
        schedule.step(step / 2)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer, scheduler=schedule)
    other = setting(lambda o: lrs.CosineAnnealingWarmRestarts(o, 3, 1))
    ckptkit.restore(path, targets(other), on_conflict="current")
    unbroken = setting(lambda o: lrs.CosineAnnealingWarmRestarts(o, 3, 1))
    unbroken[2].step(4.0)
    assert rates(other[1]) == rates(unbroken[1])


def test_functions_of_the_user_that_fail_are_told(tmp_path):
    path, _ = settle("LambdaLR of a function", tmp_path)
    other = setting(lambda o: lrs.LambdaLR(o, lambda step: [1, 2, 3][step]))
    with pytest.raises(MismatchError, match="no learning rate at step 5: list index"):
        ckptkit.restore(path, targets(other), on_conflict="current")


def test_objects_in_old_files_are_left_out_and_told(tmp_path):
    """torch 1.x stored OneCycleLR's function as a bound method of the class."""
    model, optimizer, schedule = setting(KINDS["OneCycleLR"][0])
    train(model, optimizer, schedule)
    state = {**schedule.state_dict(), "anneal_func": lrs.OneCycleLR._annealing_cos}
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": state},
        tmp_path / "c.pt",
    )
    other = setting(KINDS["OneCycleLR"][0], seed=7)
    report = ckptkit.restore(tmp_path / "c.pt", targets(other))
    (line,) = report.component("scheduler").lines
    assert (line.kind, line.name) == ("dropped", "anneal_func")
    train(model, optimizer, schedule)
    train(*other)
    assert rates(other[1]) == rates(optimizer)

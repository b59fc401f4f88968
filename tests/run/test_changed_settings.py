"""What may change between two starts of a run, what it then does, and what is refused."""

from dataclasses import dataclass, field
from itertools import chain

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

from ckptkit.errors import MismatchError, SettingConflictError
from tests.run.small import Small, digest, names, only_run, raising_at

SCHEDULES = {
    "none": None,
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, 6),
    "step": lambda optimizer: StepLR(optimizer, 1, gamma=0.5),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
}
EACH = pytest.mark.parametrize("schedule", SCHEDULES)


def lr_of(one):
    return one.optimizer.param_groups[0]["lr"]


@EACH
def test_an_unchanged_lr_keeps_what_the_schedule_made_of_it_to_the_bit(tmp_path, schedule):
    whole, first, again = (Small(schedule=SCHEDULES[schedule]) for _ in range(3))
    whole.train(tmp_path / "truth", 4)
    first.train(tmp_path / "run", 2)
    again.train(tmp_path / "run", 4)
    assert lr_of(again) == lr_of(whole)
    assert again.bits() == whole.bits()


@EACH
def test_a_new_lr_wins_in_the_optimizer_and_in_the_schedule(tmp_path, schedule):
    Small(schedule=SCHEDULES[schedule]).train(tmp_path, 2, config={"lr": 0.1})
    again = Small(schedule=SCHEDULES[schedule], lr=0.01)
    with again.run(tmp_path, config={"lr": 0.01}):
        found = lr_of(again)
    if schedule in ("cosine", "step"):  # the rate of a run that always had the new one
        like = Small(schedule=SCHEDULES[schedule], lr=0.01)
        like.train(tmp_path / "like", 2)
        assert found == lr_of(like)
        assert again.schedule.base_lrs == [0.01]
        assert again.schedule.get_last_lr() == [found]
    else:
        assert found == 0.01
    assert again.optimizer.state, "its moments stay"
    assert "lr       0.01   0.1    0.01" in again.said


@EACH
def test_a_new_lr_is_used_by_the_steps_that_follow(tmp_path, schedule):
    Small(schedule=SCHEDULES[schedule]).train(tmp_path, 2)
    again = Small(schedule=SCHEDULES[schedule], lr=0.01)
    again.train(tmp_path, 4)
    assert 0 < lr_of(again) <= 0.01


def test_a_longer_schedule_goes_on_as_if_it_had_always_been_so_long(tmp_path):
    Small(schedule=lambda o: CosineAnnealingLR(o, 4)).train(tmp_path, 2)
    again = Small(schedule=lambda o: CosineAnnealingLR(o, 8))
    with again.run(tmp_path):
        like = Small(schedule=lambda o: CosineAnnealingLR(o, 8))
        like.train(tmp_path / "like", 2)
        assert lr_of(again) == lr_of(like)


def test_a_changed_batch_size_goes_on_at_the_same_sample(tmp_path):
    whole, first, again = Small(), Small(), Small(batch_size=2)
    whole.train(tmp_path / "truth", 1)
    with pytest.raises(ValueError):
        first.train(tmp_path / "run", 1, inside=raising_at(1, ValueError()))
    again.train(tmp_path / "run", 1)
    assert [len(batch) for batch in again.seen] == [2, 2, 2, 2]
    assert [*chain(*first.seen[:1], *again.seen)] == [*chain(*whole.seen)]
    assert again.last.step == 5


def test_more_workers_change_no_bit(tmp_path):
    from torch.utils.data import DataLoader

    whole, again = Small(), Small()
    whole.train(tmp_path / "truth", 2)
    Small().train(tmp_path / "run", 1)
    again.loader = DataLoader(again.data, batch_size=4, shuffle=True, num_workers=2)
    again.train(tmp_path / "run", 2)
    assert again.bits() == whole.bits()


def test_the_number_of_epochs_is_the_target_and_may_grow(tmp_path):
    whole, again = Small(), Small()
    whole.train(tmp_path / "truth", 4)
    Small().train(tmp_path / "run", 2, config={"epochs": 2})
    again.train(tmp_path / "run", 4, config={"epochs": 4})
    assert len(again.seen) == 6
    assert again.bits() == whole.bits()


@pytest.mark.parametrize("target", [1, 2])
def test_a_target_that_is_reached_says_so_and_trains_nothing(tmp_path, target):
    Small().train(tmp_path, 2)
    again = Small()
    run = again.train(tmp_path, target)
    assert again.told[-1] == f"2 of {target} epochs are complete: nothing to do"
    assert again.seen == []
    assert run.stopped == ""
    assert {"final_model", "checkpoint_epoch_2"} <= {*names(tmp_path)}


class Mixed(Small):
    """Trains in bfloat16 under autocast, with a scaler in its state or without."""

    def __init__(self, *, scaler, **options):
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0) if scaler else None
        super().__init__(**options, **({"scaler": self.scaler} if scaler else {}))

    def step(self, run, batch, inside):
        if self.scaler is None:
            super().step(run, batch, inside)
            return
        index, x, y = batch
        self.seen.append(index.tolist())
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(self.model(x), y)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()


@pytest.mark.parametrize("scaler", [False, True])
def test_the_precision_may_change_and_the_scaler_with_it(tmp_path, scaler):
    Mixed(scaler=scaler).train(tmp_path, 1, config={"precision": "fp16" if scaler else "fp32"})
    again = Mixed(scaler=not scaler)
    again.train(tmp_path, 2, config={"precision": "fp32" if scaler else "fp16"})
    assert again.last.step == 6
    assert "precision" in again.said
    assert "scaler" in again.said
    assert "matches no missing name" not in again.said  # the run itself allows the scaler


def test_weights_may_go_on_in_another_dtype(tmp_path):
    Small().train(tmp_path, 1)
    again = Small()
    again.model.to(torch.bfloat16)
    with again.run(tmp_path):
        assert {p.dtype for p in again.model.parameters()} == {torch.bfloat16}
    assert "lossy" in again.said or "cast" in again.said


def test_another_architecture_is_refused_with_the_difference_and_nothing_changes(tmp_path):
    Small(hidden=6).train(tmp_path, 1, config={"hidden": 6}, policies={"hidden": "architecture"})
    again = Small(hidden=8)
    before = digest(again.model.state_dict())
    with pytest.raises(SettingConflictError, match="hidden is 8 and was 6"):
        again.train(tmp_path, 2, config={"hidden": 8}, policies={"hidden": "architecture"})
    assert digest(again.model.state_dict()) == before
    with pytest.raises(MismatchError, match=r"8, 3|6, 3"):  # nobody named a policy
        Small(hidden=8).train(tmp_path, 2, config={"hidden": 8})
    Small(hidden=6).train(tmp_path, 2)  # the folder is as it was, and free


def test_a_changed_architecture_may_be_forced_where_the_weights_fit(tmp_path):
    options = {"policies": {"dropout": "architecture"}}
    Small().train(tmp_path, 1, config={"dropout": 0.2}, **options)
    again = Small()
    again.train(tmp_path, 2, config={"dropout": 0.5}, force=True, **options)
    assert again.last.step == 6


def test_a_changed_architecture_may_be_forced_part_by_part(tmp_path):
    Small(hidden=6).train(tmp_path, 1)
    again = Small(hidden=6)
    again.model.add_module("head", nn.Linear(2, 2))
    again.optimizer.add_param_group({"params": again.model.head.parameters()})
    with pytest.raises(MismatchError, match="head"):
        again.train(tmp_path, 2)
    again.train(tmp_path, 2, restore={"allow_missing": ("head*",)})
    assert again.last.step == 6


@dataclass
class Settings:
    lr: float = 0.1
    hidden: int = field(default=6, metadata={"resume": "architecture"})


def test_a_dataclass_says_itself_which_fields_are_architecture(tmp_path):
    Small().train(tmp_path, 1, config=Settings())
    with pytest.raises(SettingConflictError, match="hidden is 7 and was 6"):
        Small().train(tmp_path, 1, config=Settings(hidden=7))


def test_asked_saved_and_used_are_printed_and_the_settings_lie_in_the_folder(tmp_path):
    import json

    Small().train(tmp_path, 1, config={"lr": 0.1, "batch_size": 4, "epochs": 1})
    again = Small(lr=0.2)
    again.train(tmp_path, 1, config={"lr": 0.2, "batch_size": 4, "epochs": 2})
    table = next(text for text in again.told if text.startswith("setting"))
    assert table.splitlines() == [
        "setting  asked  saved  used",
        "lr       0.2    0.1    0.2",
        "epochs   2      1      2",
    ]
    config = json.loads((only_run(tmp_path) / "config.json").read_text())
    assert config == {"lr": 0.2, "batch_size": 4, "epochs": 2}

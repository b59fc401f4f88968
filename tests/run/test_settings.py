"""Asked, saved, used: free settings follow the caller, the architecture follows the checkpoint."""

import argparse
import math
from dataclasses import dataclass, field

import pytest

from ckptkit.errors import SettingConflictError
from ckptkit.run.settings import (
    ABSENT,
    as_settings,
    compare_settings,
    policies_of,
    require_architecture,
)


@dataclass
class Config:
    epochs: int = 10
    lr: float = 1e-3
    d_shared: int = field(default=512, metadata={"resume": "architecture"})


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        {"epochs": 10, "lr": 1e-3, "d_shared": 512},
        argparse.Namespace(epochs=10, lr=1e-3, d_shared=512),
    ],
)
def test_settings_come_from_whatever_holds_them(config):
    assert as_settings(config) == {"epochs": 10, "lr": 1e-3, "d_shared": 512}


def test_nested_settings_have_dotted_names():
    assert as_settings({"model": {"d": 3, "empty": {}}}) == {"model.d": 3, "model.empty": {}}


def test_a_free_setting_takes_what_is_asked_for():
    changes = compare_settings({"lr": 5e-5, "epochs": 100}, {"lr": 2e-4, "epochs": 100}, {})
    assert changes == [("lr", 5e-5, 2e-4, 5e-5, "free")]
    require_architecture(changes, "run")


def test_a_setting_that_is_not_asked_for_keeps_the_saved_value():
    assert compare_settings({}, {"note": "a"}, {}) == [("note", ABSENT, "a", "a", "free")]


def test_the_architecture_is_refused_with_every_difference_and_can_be_forced():
    asked, saved = {"d_shared": 256, "layers": 4, "lr": 1}, {"d_shared": 512, "layers": 6, "lr": 2}
    policies = policies_of(Config()) | {"layers": "architecture"}
    changes = compare_settings(asked, saved, policies)
    with pytest.raises(SettingConflictError, match=r"d_shared is 256 and was 512.*layers is 4"):
        require_architecture(changes, "latest_checkpoint")
    require_architecture(changes, "latest_checkpoint", force=True)


def test_a_nested_name_finds_the_policy_of_its_last_word():
    changes = compare_settings({"m.d": 1}, {"m.d": 2}, {"d": "architecture"})
    assert changes[0].policy == "architecture"


@pytest.mark.parametrize(
    ("one", "other"), [((1, 2), [1, 2]), (math.nan, math.nan), (1, 1.0), ("a", "a")]
)
def test_values_that_mean_the_same_are_no_change(one, other):
    assert compare_settings({"x": one}, {"x": other}, {}) == []


@pytest.mark.parametrize(("one", "other"), [(True, 1), ((1,), [2]), (None, 0), ([1], [1, 2])])
def test_values_that_differ_in_kind_are_a_change(one, other):
    assert len(compare_settings({"x": one}, {"x": other}, {})) == 1

"""Hyper-parameters: whose value is used, and what is said of it."""

import math

import pytest

from ckptkit.match.settings import is_same, resolve_settings
from ckptkit.match.values import SettingPolicy

SAVED = {"lr": 0.1, "betas": [0.9, 0.999], "eps": 1e-8}
NOW = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8}


def test_the_checkpoint_wins_by_default_and_the_row_says_so():
    used, differing, faults = resolve_settings("optimizer, group 0", SAVED, NOW, SettingPolicy())
    assert used["lr"] == 0.1
    assert differing == (("optimizer, group 0", "lr", 0.001, 0.1, 0.1),)
    assert faults == ()


def test_the_live_value_wins_where_that_is_asked_for():
    found = resolve_settings("x", SAVED, NOW, SettingPolicy(default="current"))
    assert found.used["lr"] == 0.001
    assert found.differing[0].used == 0.001


def test_a_field_may_have_a_policy_of_its_own():
    policy = SettingPolicy(default="checkpoint", fields={"lr": "current"})
    found = resolve_settings("x", {**SAVED, "eps": 1e-6}, NOW, policy)
    assert (found.used["lr"], found.used["eps"]) == (0.001, 1e-6)


def test_a_forbidden_difference_is_a_sentence_and_not_an_exception():
    found = resolve_settings("optimizer, group 1", SAVED, NOW, SettingPolicy(default="error"))
    (sentence,) = found.faults
    assert sentence.startswith("optimizer, group 1: lr is 0.1 in the checkpoint and 0.001 here")
    assert found.used["lr"] == 0.001


def test_a_field_of_one_side_alone_stays_and_is_no_conflict():
    found = resolve_settings(
        "x", {"initial_lr": 1.0}, {"foreach": None}, SettingPolicy(default="error")
    )
    assert found.used == {"initial_lr": 1.0, "foreach": None}
    assert found.differing == ()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(1, 1.0, True), (True, 1, False), ((1, 2), [1, 2], True), ((1, 2), (1, 2, 3), False),
     (math.nan, math.nan, True), (math.nan, 1.0, False), ({"a": [1]}, {"a": (1,)}, True),
     ({"a": 1}, {"b": 1}, False), (None, 0, False), ("cos", "cos", True)],
)  # fmt: skip
def test_two_settings_are_the_same_if_they_mean_the_same(one, other, same):
    assert is_same(one, other) is same


def test_values_that_compare_element_by_element_are_compared_as_text():
    numpy = pytest.importorskip("numpy")
    assert is_same(numpy.arange(3), numpy.arange(3))
    assert not is_same(numpy.arange(3), numpy.arange(4) + 1)

"""Means that an interruption leaves alone, and a best that only a better value beats."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.errors import UnrepresentableError
from ckptkit.run.metrics import Best, Means, as_number


@given(st.lists(st.floats(-1e6, 1e6)), st.integers(0, 20))
def test_a_mean_has_the_same_bits_across_an_interruption(values, cut):
    whole, first, second = Means(), Means(), Means()
    for value in values:
        whole.add({"loss": value})
    for value in values[:cut]:
        first.add({"loss": value})
    second.restore(first.state())
    for value in values[cut:]:
        second.add({"loss": value})
    assert second.values() == whole.values()


def test_weights_count_and_a_new_epoch_begins_empty():
    means = Means()
    means.add({"loss": 1.0}, weight=3)
    means.add({"loss": 5.0})
    assert means.values() == {"loss": 2.0}
    means.clear()
    assert means.values() == {}


def test_smaller_or_larger_is_better_and_neither_nan_nor_equal():
    best = Best("val_loss", "min").updated(0.5, epoch=1, step=10)
    assert best.value == 0.5
    assert best.updated(0.5, epoch=2, step=20).epoch == 1
    assert best.updated(math.nan, epoch=2, step=20) is best
    assert best.updated(0.4, epoch=3, step=30).as_tree() == {
        "name": "val_loss", "mode": "min", "value": 0.4, "epoch": 3, "step": 30,
    }  # fmt: skip
    assert Best("acc", "max", 0.5).updated(0.6, epoch=1, step=1).value == 0.6


def test_a_stored_best_goes_on_unless_it_watched_something_else():
    stored = Best("val_loss", "min", 0.5, 3, 30).as_tree()
    assert Best("val_loss", "min").from_tree(stored) == Best("val_loss", "min", 0.5, 3, 30)
    assert Best("accuracy", "max").from_tree(stored).value is None
    assert Best("val_loss", "min").from_tree({"value": 0.7}).value == 0.7


@pytest.mark.parametrize("value", [1, 1.0, torch.tensor(1.0), torch.ones(1, 1)])
def test_a_metric_is_whatever_holds_one_number(value):
    assert as_number("loss", value) == 1.0


@pytest.mark.parametrize("value", ["one", None, torch.ones(2), [1]])
def test_what_is_no_number_is_refused_by_its_name(value):
    with pytest.raises(UnrepresentableError, match="loss"):
        as_number("loss", value)

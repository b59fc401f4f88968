"""Which checkpoints stay: a pure decision, so that its dry run is the decision itself."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.run.retention import (
    Candidate,
    KeepAll,
    KeepBest,
    KeepEvery,
    KeepLast,
    KeepSpans,
    Retention,
    plan_retention,
)


def saved(step, epoch=0, score=None, pinned="", hour=0.0):
    return Candidate(
        f"s{step}", epoch, step, hour * 3600, score, pinned, nbytes=100, state_nbytes=60
    )


def kept(candidates, keep):
    fates = plan_retention(candidates, Retention(keep=keep))
    return [fate.candidate.name for fate in fates if fate.verdict == "keep"]


STEPS = [saved(step, epoch=step // 2, hour=step) for step in range(1, 11)]


def test_the_last_ones_stay():
    assert kept(STEPS, KeepLast(3)) == ["s8", "s9", "s10"]


def test_the_newest_stays_even_if_nothing_is_wanted():
    assert kept(STEPS, KeepLast(0)) == ["s10"]


def test_the_best_stay_and_one_without_a_score_is_never_best():
    some = [saved(1, score=0.3), saved(2, score=math.nan), saved(3, score=0.1), saved(4), saved(5)]
    assert kept(some, KeepBest(1)) == ["s3", "s5"]
    assert kept(some, KeepBest(1, "max")) == ["s1", "s5"]


def test_of_equal_scores_the_older_is_the_best():
    assert kept([saved(1, score=0.5), saved(2, score=0.5), saved(3)], KeepBest(1)) == ["s1", "s3"]


def test_one_of_every_so_many_steps_stays_though_none_lies_on_the_multiple():
    some = [saved(step) for step in (3, 9, 11, 19, 21, 22)]
    assert kept(some, KeepEvery(steps=10)) == ["s11", "s21", "s22"]


def test_one_of_every_so_many_epochs_stays():
    assert kept(STEPS, KeepEvery(epochs=2)) == ["s4", "s8", "s10"]


def test_the_newest_of_each_span_stays():
    some = [saved(i, hour=i / 4) for i in range(12)]
    assert kept(some, KeepSpans(hours=2)) == ["s7", "s11"]
    assert kept(some, KeepSpans(days=1)) == ["s11"]


def test_policies_are_joined_and_the_first_reason_is_told():
    joined = KeepLast(2) | KeepEvery(steps=5) | KeepBest(1)
    fates = plan_retention(STEPS, Retention(keep=joined))
    told = {fate.candidate.name: fate.why for fate in fates if fate.verdict == "keep"}
    assert told == {"s5": "every 5 steps", "s9": "one of the last 2", "s10": "the newest"}


def test_what_is_pinned_stays_whole_and_says_why():
    some = [saved(1, pinned="best"), saved(2), saved(3)]
    fates = plan_retention(some, Retention(keep=KeepLast(1), full=1))
    assert [(f.verdict, f.why) for f in fates] == [
        ("keep", "best"),
        ("remove", "no policy keeps it"),
        ("keep", "the newest"),
    ]


def test_old_ones_keep_their_weights_alone():
    fates = plan_retention(STEPS[:4], Retention(keep=KeepAll(), full=2))
    assert [fate.verdict for fate in fates] == ["slim", "slim", "keep", "keep"]
    assert sum(fate.freed_nbytes for fate in fates) == 120


policies = st.one_of(
    st.builds(KeepLast, st.integers(0, 4)),
    st.builds(KeepBest, st.integers(0, 4), st.sampled_from(["min", "max"])),
    st.builds(KeepEvery, st.integers(0, 4), st.integers(0, 6)),
    st.builds(KeepSpans, st.integers(0, 4), st.integers(0, 2)),
)
runs = st.lists(
    st.builds(
        saved, st.integers(0, 30), st.integers(0, 9),
        st.none() | st.floats(allow_nan=True), st.sampled_from(["", "", "best", "pinned"]),
        st.floats(0, 100),
    ),
    unique_by=lambda one: one.name,
)  # fmt: skip


@given(runs, policies, policies, st.none() | st.integers(0, 3))
def test_every_checkpoint_has_one_fate_and_joining_never_removes_more(some, one, other, full):
    def verdicts(keep):
        fates = plan_retention(some, Retention(keep=keep, full=full))
        return {fate.candidate.name: fate.verdict for fate in fates}

    alone, joined = verdicts(one), verdicts(one | other)
    assert set(joined) == {candidate.name for candidate in some}
    assert {n for n, v in joined.items() if v == "remove"} == {
        n for n in alone if alone[n] == "remove" and verdicts(other)[n] == "remove"
    }
    assert all(joined[one.name] == "keep" for one in some if one.pinned)


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_in_which_they_are_given_does_not_matter(order):
    assert kept(STEPS[::order], KeepLast(2)) == ["s9", "s10"]

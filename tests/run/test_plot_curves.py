"""Which curves a picture shows, where, and with which marks."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.errors import NotFoundError
from ckptkit.run.columns import flat_columns, history_of
from ckptkit.run.curves import Wish, labels_of, plan_picture, smoothed
from ckptkit.run.history import Event
from ckptkit.run.remembered import BestRow

NAN = math.nan


def view(name="a/b", best=None, events=(), **columns):
    n_rows = max(map(len, columns.values()))
    columns.setdefault("epoch", list(range(1, n_rows + 1)))
    columns.setdefault("step", [10 * epoch for epoch in columns["epoch"]])
    return SimpleNamespace(history=columns, events=list(events), best=best, name=name)


def titles(picture):
    return [panel.title for panel in picture.panels]


def test_train_and_val_share_a_chart_the_watched_is_first_and_the_rate_last():
    best = BestRow("val_loss", "min", 1.0, 2, 20)
    picture = plan_picture([view(best=best, lr=[1, 1], train_acc=[1, 2], val_acc=[1, 2],
                                 loss=[3, 2], val_loss=[2, 1])])  # fmt: skip
    assert titles(picture) == ["loss", "acc", "lr"]
    assert [curve.metric for curve in picture.panels[0].curves] == ["loss", "val_loss"]


def test_of_several_runs_each_metric_has_its_chart_and_each_run_its_curve():
    picture = plan_picture([view("a/x", loss=[1], val_loss=[2]), view("b/x", loss=[3])])
    assert titles(picture) == ["loss", "val_loss"]
    assert [curve.run for curve in picture.panels[0].curves] == [0, 1]
    assert picture.runs == ("a", "b")


def test_runs_are_told_apart_by_the_shortest_part_that_can():
    assert labels_of(["a/x"]) == ("a/x",)
    assert labels_of(["a/x", "a/y"]) == ("x", "y")
    assert labels_of(["a/x", "b/x"]) == ("a", "b")
    assert labels_of(["a/x", "b/x", "a/y"]) == ("a/x", "b/x", "a/y")
    assert len(set(labels_of(["a/x", "a/x"]))) == 2


def test_metrics_are_chosen_by_name_and_glob_and_a_wrong_one_is_answered():
    one = view(loss=[1], val_loss=[1], val_acc=[1])
    assert titles(plan_picture([one], Wish(metrics=("val_acc", "l*")))) == ["acc", "loss"]
    with pytest.raises(NotFoundError, match="val_acc"):
        plan_picture([one], Wish(metrics=("dice",)))


def test_nothing_that_could_be_drawn_is_said():
    for columns in ({"loss": []}, {"loss": [None, NAN]}, {"text": ["a", "b"]}, {"flag": [True]}):
        with pytest.raises(NotFoundError):
            plan_picture([view(**columns)])


def test_not_a_number_is_a_gap_and_what_was_not_measured_is_none():
    curve = plan_picture([view(loss=[1.0, NAN, 3.0, None, math.inf])]).panels[0].curves[0]
    assert curve.xs == (1, 2, 3, 5)
    assert [math.isfinite(y) for y in curve.ys] == [True, False, True, False]


def test_what_was_no_number_is_counted_aloud_also_where_nothing_else_was_measured():
    one = view(loss=[1.0, NAN, 3.0, None, math.inf], acc=[NAN, NAN], flag=[True], word=["a"])
    assert plan_picture([one]).notes == (
        "loss: NaN or infinite 2 of 4 times, a gap each",
        "acc: NaN or infinite 2 of 2 times, a gap each",
    )
    assert plan_picture([one], Wish(metrics=("l*",))).notes == plan_picture([one]).notes[:1]
    assert plan_picture([view(loss=[1.0, None])]).notes == ()


def test_steps_are_the_axis_where_an_epoch_has_several_rows():
    rows = view(loss=[3, 2, 1], epoch=[0, 0, 1], step=[10, 20, 30])
    assert plan_picture([rows]).x == "step"
    by_epoch = plan_picture([rows], Wish(x="epoch")).panels[0].curves[0]
    assert (by_epoch.xs, by_epoch.ys) == ((0, 1), (2, 1))  # of an epoch the last row counts


def test_steps_that_no_history_has_cannot_be_the_axis():
    with pytest.raises(NotFoundError, match="step"):
        plan_picture([view(loss=[1, 2], step=[0, 0])], Wish(x="step"))


def test_an_event_inside_an_epoch_stands_between_its_rows():
    events = [Event("resumed", 1, 15), Event("best", 2, 20), Event("out of memory", 3, 38)]
    events += [Event("resumed", 1, 15)]
    one = view(loss=[3, 2, 1, 1], events=events)
    assert [(m.kind, m.x) for m in plan_picture([one]).marks] == [
        ("resumed", 1.5),
        ("emergency", 3.8),
    ]
    assert [m.x for m in plan_picture([one], Wish(x="step")).marks] == [15, 38]


def test_events_without_steps_stand_at_their_epoch_on_either_axis():
    one = view(loss=[3, 2], events=[Event("interrupted", 2, 0)])
    assert [mark.x for mark in plan_picture([one]).marks] == [2]
    assert [mark.x for mark in plan_picture([one], Wish(x="step")).marks] == [20]


def test_the_best_is_a_star_on_the_curve_of_the_metric_that_was_watched():
    one = view(best=BestRow("val_loss", "min", 0.5, 2, 20), loss=[1, 1], val_loss=[1, 0.5])
    (star,) = plan_picture([one]).panels[0].stars
    assert (star.metric, star.x, star.y, star.epoch) == ("val_loss", 2, 0.5, 2)
    nowhere = view(best=BestRow("val_loss", "min", 0.5, 0, 0), val_loss=[1, 0.5])
    assert plan_picture([nowhere]).panels[0].stars == ()


def test_a_logarithmic_axis_leaves_out_and_counts_what_is_not_above_zero():
    picture = plan_picture(
        [view(loss=[1.0, 0.0, -2.0, 4.0], gap=[0.0, -1.0, 0.0, 0.0])], Wish(log=True)
    )
    by_title = {panel.title: panel for panel in picture.panels}
    assert by_title["loss"].log
    assert [math.isfinite(y) for y in by_title["loss"].curves[0].ys] == [True, False, False, True]
    assert not by_title["gap"].log
    assert any("loss" in note and "2" in note for note in picture.notes)
    assert any("gap" in note and "linear" in note for note in picture.notes)


FLOATS = st.floats(-1e6, 1e6) | st.just(NAN)


@given(st.lists(FLOATS), st.floats(0, 0.99))
def test_smoothing_keeps_gaps_and_never_leaves_the_range(ys, weight):
    out = smoothed(ys, weight)
    assert [math.isnan(y) for y in out] == [math.isnan(y) for y in ys]
    finite = [y for y in ys if not math.isnan(y)]
    slack = 1e-6 * max(map(abs, finite), default=0.0)
    assert all(min(finite) - slack <= y <= max(finite) + slack for y in out if not math.isnan(y))


def test_smoothing_with_no_weight_is_what_was_measured_and_a_level_stays_level():
    assert smoothed([3.0, 1.0], 0.0) == (3.0, 1.0)
    assert smoothed([2.0] * 5, 0.9) == pytest.approx((2.0,) * 5)


@pytest.mark.parametrize(
    "tree",
    [
        {"train_loss": [2.0, 1.0], "val_loss": [3.0, 2.0]},
        {"train": {"loss": [2.0, 1.0]}, "val": {"loss": [3.0, 2.0]}},
        [{"train_loss": 2.0, "val_loss": 3.0}, {"train_loss": 1.0, "val_loss": 2.0}],
        {"rows": [{"train_loss": 2.0, "val_loss": 3.0}, {"train_loss": 1.0, "val_loss": 2.0}]},
    ],
)
def test_every_form_of_a_hand_made_history_becomes_the_same_columns(tree):
    assert flat_columns(tree) == {"train_loss": [2.0, 1.0], "val_loss": [3.0, 2.0]}
    assert history_of(tree).columns()["epoch"] == [1, 2]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["epoch", "step", "events", "loss"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_any_json_is_a_history_that_can_be_drawn_or_is_refused_in_words(tree):
    try:
        columns = history_of(tree).columns()
    except (ValueError, TypeError):
        return
    try:
        picture = plan_picture(
            [SimpleNamespace(history=columns, events=history_of(tree).events, best=None, name="a")]
        )
    except NotFoundError:
        return
    assert picture.panels

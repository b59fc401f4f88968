"""Shapes, casts, coverage, and the sentences that refuse a plan: all of them at once."""

import pytest

from ckptkit.match.plan import plan_load
from ckptkit.match.values import FAULT_KINDS, Entry, MatchPolicy, ShapeChoice

EVERYTHING = MatchPolicy(allow_missing=True, allow_unexpected=True, min_coverage=0.0)


def stored(*rows, dtype="float32"):
    return [Entry(name, dtype, shape) for name, shape in rows]


def wanted(*rows, dtype="float32"):
    return [Entry(name, dtype, shape, "parameter") for name, shape in rows]


def on_shape(action):
    return MatchPolicy(
        on_shape=ShapeChoice(action, (lambda *_: None) if action == "custom" else None)
    )


HEAD = (stored(("body", (4,)), ("head", (5, 8))), wanted(("body", (4,)), ("head", (10, 8))))


def test_another_shape_is_refused_and_both_shapes_are_said():
    plan = plan_load(*HEAD)
    assert [pair.target for pair in plan.pairs] == ["body"]
    assert plan.mismatched == (("head", "head", (5, 8), (10, 8), "error"),)
    sentence = plan.faults[plan.fault_kinds.index("shape")]
    assert "head is [5, 8] in the checkpoint and [10, 8] in the model" in sentence


def test_a_skipped_tensor_keeps_its_value_and_covers_nothing():
    plan = plan_load(*HEAD, MatchPolicy(on_shape=ShapeChoice("skip"), min_coverage=0.0))
    assert plan.pairs[1].action == "skip"
    assert plan.pairs[1].cast is None
    assert plan.coverage == (1, 2, 16, 336)
    assert not plan.faults


def test_skipping_cannot_evade_the_floor():
    assert plan_load(*HEAD, on_shape("skip")).fault_kinds == ("coverage",)


def test_a_sliced_tensor_covers_the_corner_that_both_have():
    plan = plan_load(*HEAD, on_shape("slice"))
    assert plan.pairs[1].action == "slice"
    assert plan.mismatched[0].outcome == "slice"
    assert plan.coverage == (2, 2, 16 + 5 * 8 * 4, 16 + 10 * 8 * 4)
    assert not plan.faults


@pytest.mark.parametrize("shape", [(5,), (), (5, 8, 1)])
def test_nothing_is_sliced_where_the_ranks_differ(shape):
    plan = plan_load(
        stored(("h", shape), ("b", (2,))), wanted(("h", (10, 8)), ("b", (2,))), on_shape("slice")
    )
    assert plan.mismatched[0].outcome == "error"
    assert "shape" in plan.fault_kinds


def test_a_function_of_the_caller_resizes_whatever_differs():
    plan = plan_load(*HEAD, on_shape("custom"))
    assert plan.pairs[1].action == "custom"
    assert not plan.faults


def test_a_pruned_weight_of_another_shape_can_only_be_skipped():
    sides = (
        stored(("b", (9, 9)), ("w_orig", (4, 4)), ("w_mask", (4, 4))),
        wanted(("b", (9, 9)), ("w", (6, 4))),
    )
    assert plan_load(*sides, on_shape("slice")).mismatched[0].outcome == "error"
    assert plan_load(*sides, on_shape("skip")).pairs[1].action == "skip"


def test_a_tied_name_shares_the_fate_of_its_mate():
    tied = [Entry(n, "float32", (12, 4), "parameter", 0) for n in ("wte", "head")]
    plan = plan_load(stored(("wte", (10, 4))), tied, on_shape("slice"))
    assert [(p.target, p.how, p.action) for p in plan.pairs] == [
        ("wte", "exact", "slice"), ("head", "tie", "slice")
    ]  # fmt: skip
    assert not plan.faults


def test_a_plain_value_does_not_fill_a_tensor():
    plan = plan_load(
        [Entry("w", "", (), "value"), *stored(("b", (2,)))], wanted(("w", ()), ("b", (2,)))
    )
    assert plan.mismatched[0].outcome == "error"


def test_a_cast_is_recorded_and_allowed_by_default():
    plan = plan_load(stored(("w", (2,)), dtype="float16"), wanted(("w", (2,))))
    assert plan.pairs[0].cast == ("float16", "float32")
    assert not plan.faults


def test_a_cast_is_refused_where_the_policy_says_so():
    plan = plan_load(
        stored(("w", (2,)), dtype="float16"), wanted(("w", (2,))), MatchPolicy(cast="error")
    )
    assert plan.fault_kinds == ("cast",)
    assert "float16 to float32" in plan.faults[0]


@pytest.mark.parametrize(("before", "after"), [("qint8", "float32"), ("complex64", "float32")])
def test_a_cast_that_no_conversion_survives_is_always_refused(before, after):
    plan = plan_load(stored(("w", (2,)), dtype=before), wanted(("w", (2,)), dtype=after))
    assert plan.fault_kinds == ("cast",)


def test_floats_into_whole_numbers_are_noted():
    plan = plan_load(stored(("w", (2,))), wanted(("w", (2,)), dtype="int64"))
    assert "fractions are cut off" in plan.notes[0]


def test_nothing_loaded_is_refused_whatever_is_allowed():
    plan = plan_load(stored(("x", (3,))), wanted(("w", (2,))), EVERYTHING)
    assert plan.fault_kinds == ("nothing",)
    assert plan.nothing_loaded
    assert "another model" in plan.faults[0]


def test_an_empty_checkpoint_loads_nothing():
    assert plan_load([], wanted(("w", (2,))), EVERYTHING).nothing_loaded


def test_skipping_every_tensor_loads_nothing():
    policy = MatchPolicy(on_shape=ShapeChoice("skip"), min_coverage=0.0)
    assert plan_load(stored(("w", (3,))), wanted(("w", (2,))), policy).nothing_loaded


def test_a_model_that_wants_nothing_is_satisfied():
    plan = plan_load([], [])
    assert not plan.faults
    assert plan.coverage.fraction == 1.0


def test_the_floor_counts_bytes_as_well_as_tensors():
    sides = (
        stored(("a", (1,)), ("b", (1,)), ("c", (1,))),
        wanted(("a", (1,)), ("b", (1,)), ("c", (1,)), ("big", (1000,))),
    )
    plan = plan_load(*sides, MatchPolicy(allow_missing=True))
    assert plan.fault_kinds == ("coverage",)
    assert plan.coverage == (3, 4, 12, 4012)
    assert "3 of 4 tensors and 12 of 4012 bytes" in plan.faults[0]
    assert not plan_load(*sides, MatchPolicy(allow_missing=True, min_coverage=0.002)).faults


def test_buffers_do_not_count_where_there_are_parameters():
    plan = plan_load(
        stored(("w", (2,))),
        [*wanted(("w", (2,))), Entry("mean", "float32", (99,), "buffer")],
        EVERYTHING,
    )
    assert plan.coverage == (1, 1, 8, 8)


def test_buffers_count_where_there_is_nothing_else():
    plan = plan_load(stored(("mean", (9,))), [Entry("mean", "float32", (9,), "buffer")])
    assert plan.coverage == (1, 1, 36, 36)


def test_every_reason_is_given_at_once_with_counts_and_collapsed_names():
    plan = plan_load(
        [*stored(*((f"old.{n}.x", (2,)) for n in range(40)), ("head", (5, 8))),
         *stored(("half", (9,)), dtype="float16")],
        wanted(*((f"layers.{n}.w", (3,)) for n in range(32)), ("head", (10, 8)), ("half", (9,)), ("z", (7,))),
        MatchPolicy(cast="error"),
    )  # fmt: skip
    assert plan.fault_kinds == ("coverage", "shape", "missing", "unexpected", "cast")
    missing = plan.faults[2]
    assert missing.startswith(
        "33 names that are wanted are not in the checkpoint: layers.*.w (32), z;"
    )
    assert "old.*.x (40)" in plan.faults[3]
    assert all(len(sentence) < 300 for sentence in plan.faults)


def test_a_sentence_about_thousands_of_names_stays_short():
    plan = plan_load(
        stored(("a", (1,))),
        wanted(("a", (1,)), *((f"w{n}x{n % 7}{chr(97 + n % 26)}", (2,)) for n in range(3000))),
    )
    assert all(len(sentence) < 300 for sentence in plan.faults)
    assert any("more" in sentence for sentence in plan.faults)


def test_kinds_of_faults_are_those_that_are_documented():
    plan = plan_load(*HEAD)
    assert set(plan.fault_kinds) <= set(FAULT_KINDS)

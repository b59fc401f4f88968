"""Optimizer state goes to the parameter that it was kept for, or to nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.match.optimizer import plan_optimizer
from ckptkit.match.values import LiveParameter, StoredParameter

W, B = (4, 4), (4,)
SHAPES = {"a.weight": W, "a.bias": B, "b.weight": W, "b.bias": B, "c.weight": (2, 4)}


def adam(shape):
    return {"step": (), "exp_avg": shape, "exp_avg_sq": shape}


def stored(*groups, named=True, state=adam, shapes=SHAPES):
    rows = [(group, name) for group, names in enumerate(groups) for name in names]
    return [
        StoredParameter(n, group, name if named else "", shapes[name] if named else None, state(shapes[name]))
        for n, (group, name) in enumerate(rows)
    ]  # fmt: skip


def live(*groups, shapes=SHAPES, named=True):
    rows = [(group, name) for group, names in enumerate(groups) for name in names]
    return [
        LiveParameter(n, group, name if named else "", shapes[name])
        for n, (group, name) in enumerate(rows)
    ]


def order(*names, shapes=SHAPES):
    return [(name, shapes[name]) for name in names]


ALL = tuple(SHAPES)
SWAPPED = ("b.weight", "b.bias", "a.weight", "a.bias", "c.weight")
SAME = {name: name for name in ALL}


# -- by name --------------------------------------------------------------------------------------


def test_reordered_parameters_are_found_by_name():
    plan = plan_optimizer(stored(ALL), live(SWAPPED))
    assert plan.by == "name"
    assert dict(plan.pairs) == {0: 2, 1: 3, 2: 0, 3: 1, 4: 4}
    assert not plan.faults


def test_added_parameters_start_fresh():
    plan = plan_optimizer(stored(ALL[:3]), live(ALL))
    assert plan.fresh == (3, 4)
    assert plan.dropped == ()
    assert not plan.faults


def test_frozen_and_removed_parameters_are_dropped():
    plan = plan_optimizer(stored(ALL), live(ALL[2:]))
    assert plan.dropped == (0, 1)
    assert dict(plan.pairs) == {2: 0, 3: 1, 4: 2}
    assert not plan.faults


def test_another_shape_of_one_name_starts_fresh_and_says_so():
    plan = plan_optimizer(stored(ALL), live(ALL, shapes={**SHAPES, "c.weight": (3, 4)}))
    assert plan.reshaped == ((4, 4),)
    assert plan.fresh == (4,)
    assert plan.dropped == (4,)
    assert not plan.faults


def test_names_follow_the_renames_of_the_model():
    old = {f"enc.{name}": shape for name, shape in SHAPES.items()}
    plan = plan_optimizer(
        stored(old, shapes=old), live(SWAPPED), renamed={f"enc.{n}": n for n in ALL}
    )
    assert dict(plan.pairs) == {0: 2, 1: 3, 2: 0, 3: 1, 4: 4}


def test_a_renamed_parameter_wins_over_another_that_had_the_name():
    plan = plan_optimizer(
        stored(("a.weight", "b.weight")), live(("b.weight",)), renamed={"a.weight": "b.weight"}
    )
    assert plan.pairs == ((0, 0),)
    assert plan.dropped == (1,)


def test_names_that_differ_in_wrappers_are_equal():
    wrapped = {f"module._orig_mod.{name}": shape for name, shape in SHAPES.items()}
    plan = plan_optimizer(stored(wrapped, shapes=wrapped), live(SWAPPED))
    assert dict(plan.pairs) == {0: 2, 1: 3, 2: 0, 3: 1, 4: 4}


def test_a_name_that_two_parameters_have_is_refused():
    plan = plan_optimizer(stored(("a.weight", "a.weight", "a.bias")), live(("a.weight", "a.bias")))
    assert "two stored parameters" in plan.faults[0]


def test_the_optimizer_of_another_model_is_refused():
    plan = plan_optimizer(stored(("a.weight",)), live(("c.weight",)))
    assert "another model" in plan.faults[0]


def test_state_without_a_name_among_named_ones_is_refused():
    items = stored(ALL)
    items[2] = items[2]._replace(name="")
    assert "have state and no name" in plan_optimizer(items, live(ALL)).faults[0]


def test_live_parameters_without_names_are_refused_with_advice():
    found = live(ALL)
    found[0] = found[0]._replace(name="")
    (fault,) = plan_optimizer(stored(ALL), found).faults
    assert "name those modules as targets" in fault


@given(st.permutations(ALL), st.permutations(ALL), st.integers(1, 5), st.integers(1, 5))
def test_by_name_no_order_and_no_grouping_changes_whose_state_it_is(then, now, cut_then, cut_now):
    items, targets = stored(then[:cut_then], then[cut_then:]), live(now[:cut_now], now[cut_now:])
    plan = plan_optimizer(items, targets)
    assert {(items[s].name, targets[t].name) for s, t in plan.pairs} == {(n, n) for n in ALL}
    assert not plan.faults


# -- groups ---------------------------------------------------------------------------------------


def test_a_live_group_takes_the_settings_of_where_most_of_it_was():
    plan = plan_optimizer(
        stored(("a.weight", "b.weight"), ("a.bias",)), live(("a.weight", "b.weight", "a.bias"))
    )
    assert plan.groups == (0,)
    assert "2 from group 0 and 1 from group 1" in plan.notes[0]


def test_groups_of_equal_settings_need_no_note():
    plan = plan_optimizer(
        stored(("a.weight",), ("a.bias",)),
        live(("a.weight", "a.bias")),
        settings=({"lr": 1}, {"lr": 1.0}),
    )
    assert plan.notes == ()


def test_equally_many_take_the_first_group():
    plan = plan_optimizer(stored(("a.weight",), ("a.bias",)), live(("a.bias", "a.weight")))
    assert plan.groups == (0,)


def test_groups_may_change_places_and_a_new_one_takes_none():
    plan = plan_optimizer(
        stored(("a.weight",), ("a.bias",)), live(("a.bias",), ("c.weight",), ("a.weight",))
    )
    assert plan.groups == (1, None, 0)


# -- without names --------------------------------------------------------------------------------


def test_names_are_inferred_from_the_stored_models_order_so_a_swap_is_seen():
    plan = plan_optimizer(
        stored(ALL, named=False), live(SWAPPED), model_order=order(*ALL),
        renamed={name: name for name in SWAPPED},
    )  # fmt: skip
    assert plan.by == "inferred name"
    assert dict(plan.pairs) == {0: 2, 1: 3, 2: 0, 3: 1, 4: 4}
    assert not plan.faults


def test_an_optimizer_that_never_followed_its_model_is_refused_where_two_readings_fit():
    plan = plan_optimizer(
        stored(ALL, named=False), live(SWAPPED), model_order=order(*ALL), renamed=SAME
    )
    assert plan.pairs == ()
    assert "disagree" in plan.faults[0]


def test_where_nobody_knows_the_live_models_order_two_readings_are_refused():
    plan = plan_optimizer(stored(ALL, named=False), live(SWAPPED), model_order=order(*ALL))
    assert plan.faults


def test_without_any_names_a_swap_cannot_be_excluded_and_is_refused():
    plan = plan_optimizer(stored(ALL, named=False), live(SWAPPED))
    assert plan.pairs == ()
    assert "2 of them have the one shape [4, 4]" in plan.faults[0]


def test_the_order_is_enough_where_every_shape_is_there_once():
    names = ("a.weight", "a.bias", "c.weight")
    plan = plan_optimizer(stored(names, named=False), live(names))
    assert plan.by == "order"
    assert plan.pairs == ((0, 0), (1, 1), (2, 2))
    assert not plan.faults


@pytest.mark.parametrize(
    ("items", "targets", "why"),
    [(stored(ALL[:4], named=False), live(ALL), "there are 4 of them where the live optimizer has 5"),
     (stored(ALL[:2], ALL[2:], named=False), live(ALL), "2 + 3 members"),
     (stored(ALL, named=False), live(ALL[::-1]), "does not fit the live c.weight [2, 4]")],
)  # fmt: skip
def test_without_names_a_refusal_says_exactly_why(items, targets, why):
    (fault,) = plan_optimizer(items, targets).faults
    assert why in fault


def test_an_added_layer_needs_no_names_where_the_stored_models_order_proves_them():
    plan = plan_optimizer(
        stored(ALL[:4], named=False), live(ALL), model_order=order(*ALL[:4]), renamed=SAME
    )
    assert plan.by == "inferred name"
    assert plan.fresh == (4,)
    assert not plan.faults


def test_groups_by_rank_are_placed_in_the_stored_models_order():
    """Weights decay and biases do not: each group is a part of the model's order."""
    weights, biases = [n for n in ALL if "weight" in n], [n for n in ALL if "bias" in n]
    plan = plan_optimizer(
        stored(weights, biases, named=False),
        live(biases, weights),
        model_order=order(*ALL),
        renamed=SAME,
    )
    assert plan.by == "inferred name"
    assert dict(plan.pairs) == {0: 2, 1: 3, 2: 4, 3: 0, 4: 1}
    assert plan.groups == (1, 0)
    assert not plan.faults


def test_a_frozen_backbone_whose_head_has_its_own_shapes_is_proved():
    plan = plan_optimizer(
        stored(("c.weight",), named=False),
        live(("c.weight",)),
        model_order=order(*ALL),
        renamed=SAME,
    )
    assert plan.by == "inferred name"
    assert plan.pairs == ((0, 0),)


def test_a_frozen_layer_among_equal_ones_is_never_guessed_where_counts_differ():
    plan = plan_optimizer(
        stored(("b.weight", "b.bias"), named=False),
        live(ALL),
        model_order=order(*ALL),
        renamed=SAME,
    )
    assert plan.pairs == ()
    assert plan.faults


def test_a_frozen_layer_among_equal_ones_keeps_its_order_with_a_note():
    names = ("b.weight", "b.bias", "a.weight")
    shapes = {"b.weight": W, "b.bias": B, "a.weight": W, "z.weight": W}
    plan = plan_optimizer(
        stored(names, named=False, shapes=shapes), live(names, shapes=shapes),
        model_order=[*order(*names, shapes=shapes), ("z.weight", W)], renamed={n: n for n in shapes},
    )  # fmt: skip
    assert plan.by == "order"
    assert "that the same ones were trained then as now" in plan.notes[0]


def test_names_that_the_file_sorted_prove_no_order():
    names = [f"l.{n}.weight" for n in range(12)]
    shapes = dict.fromkeys(names, W)
    plan = plan_optimizer(
        stored(names, named=False, shapes=shapes), live(names, shapes=shapes),
        model_order=order(*sorted(names), shapes=shapes), renamed={n: n for n in names},
    )  # fmt: skip
    assert plan.by == "order"
    assert plan.pairs == tuple((n, n) for n in range(12))
    assert "that the model's code lists them as it did then" in plan.notes[0]


def test_names_that_may_have_been_sorted_settle_nothing_unless_told():
    then, now = ("a.weight", "b.weight"), ("b.weight", "a.weight")
    given_to = {"model_order": order(*then), "renamed": {n: n for n in now}}
    assert plan_optimizer(stored(then, named=False), live(now), **given_to).faults
    told = plan_optimizer(stored(then, named=False), live(now), order_kept=True, **given_to)
    assert dict(told.pairs) == {0: 1, 1: 0}


def test_sgd_without_momentum_has_no_order_to_get_wrong():
    plan = plan_optimizer(stored(ALL, named=False, state=lambda _: {}), live(SWAPPED))
    assert not plan.faults
    assert "order does not matter" in plan.notes[0]
    assert plan.groups == (0,)


def test_step_counts_alone_have_no_order_but_scalar_parameters_do():
    counts = stored(("a.weight", "b.weight"), named=False, state=lambda _: {"step": ()})
    assert not plan_optimizer(counts, live(("a.weight", "b.weight"))).faults
    scalars = {"s": (), "t": ()}
    assert plan_optimizer(
        stored(scalars, named=False, shapes=scalars), live(scalars, shapes=scalars)
    ).faults


# -- state over all parameters --------------------------------------------------------------------


def lbfgs(names, *, named=True):
    total = sum(4 * len(SHAPES[name]) if SHAPES[name] != (2, 4) else 8 for name in names)
    items = stored(names, named=named, state=lambda _: {})
    items[0] = items[0]._replace(state_shapes={"d": (total,), "prev_flat_grad": (total,)})
    return items


def test_lbfgs_is_restored_where_everything_is_as_it_was():
    plan = plan_optimizer(lbfgs(ALL), live(ALL))
    assert not plan.faults
    assert len(plan.pairs) == 5


@pytest.mark.parametrize("now", [SWAPPED, ALL[:4], (*ALL[1:], ALL[0])])
def test_lbfgs_is_refused_where_the_order_or_the_number_changed(now):
    (fault,) = plan_optimizer(lbfgs(ALL), live(now)).faults
    assert "not that of one parameter" in fault or "another model" in fault


def test_lbfgs_without_names_is_proved_by_the_stored_models_order():
    known = {"model_order": order(*ALL), "renamed": SAME}
    assert not plan_optimizer(lbfgs(ALL, named=False), live(ALL), **known).faults
    assert plan_optimizer(lbfgs(ALL, named=False), live(ALL)).faults


def test_a_factored_state_fits_its_parameter_by_its_sizes():
    rows = lambda shape: {"exp_avg_sq_row": shape[:1], "exp_avg_sq_col": shape[1:]}  # noqa: E731
    names = ("a.weight", "c.weight")
    items = [item._replace(shape=None) for item in stored(names, state=rows)]
    plan = plan_optimizer(items, live(("c.weight", "a.weight")))
    assert dict(plan.pairs) == {0: 1, 1: 0}
    assert not plan.faults


def test_an_empty_side_is_no_fault():
    assert plan_optimizer([], live(ALL)).fresh == (0, 1, 2, 3, 4)
    assert plan_optimizer(stored(ALL), []).dropped == (0, 1, 2, 3, 4)


def test_two_groups_never_claim_one_parameter():
    plan = plan_optimizer(
        stored(("a.weight",), ("b.weight",), named=False), live(("a.weight",), ("b.weight",)),
        model_order=order("c.weight", "a.weight"), renamed=SAME,
    )  # fmt: skip
    assert plan.pairs == ()
    assert plan.faults


def test_another_order_than_the_stored_models_is_refused_where_equal_shapes_were_left_out():
    names, shapes = ("b.weight", "b.bias", "a.weight"), {"z.weight": W, **SHAPES}
    plan = plan_optimizer(
        stored(names, named=False), live(names[::-1]), model_order=[*order(*names), ("z.weight", W)],
        renamed={n: n for n in shapes},
    )  # fmt: skip
    assert plan.pairs == ()
    assert "nothing in the checkpoint proves their order" in plan.faults[0]


def test_a_bias_before_its_weight_shows_that_the_file_sorted():
    names = ALL[:4]
    plan = plan_optimizer(
        stored(names, named=False), live(names), model_order=order(*sorted(names)), renamed=SAME
    )
    assert plan.by == "order"
    assert plan.pairs == tuple((n, n) for n in range(4))


def test_most_of_a_group_decides_and_not_the_first():
    plan = plan_optimizer(
        stored(("a.weight",), ("a.bias", "b.bias")), live(("a.weight", "a.bias", "b.bias"))
    )
    assert plan.groups == (1,)

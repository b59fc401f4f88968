"""Names of both sides meet: wrappers, prefixes, parametrizations, rules, ties, benign ones."""

import pytest

from ckptkit.match.plan import plan_load
from ckptkit.match.values import Entry, MatchPolicy

LENIENT = MatchPolicy(allow_missing=True, allow_unexpected=True, min_coverage=0.0)


def stored(*names, shape=(4, 4), dtype="float32"):
    return [n if isinstance(n, Entry) else Entry(n, dtype, shape) for n in names]


def wanted(*names, shape=(4, 4), dtype="float32", kind="parameter"):
    return [n if isinstance(n, Entry) else Entry(n, dtype, shape, kind) for n in names]


def filled(plan):
    return {pair.target: (pair.source, pair.how) for pair in plan.pairs}


def buffer(name, shape=(), dtype="int64", kind="buffer"):
    return Entry(name, dtype, shape, kind)


MODEL = ("conv.weight", "conv.bias", "fc.weight")


@pytest.mark.parametrize("kept", ["stored", "wanted"])
@pytest.mark.parametrize(
    "wrap",
    ["module.{}", "_orig_mod.{}", "module._orig_mod.{}", "_orig_mod.module.{}", "module.module.{}",
     "_fsdp_wrapped_module.{}", "_forward_module.module._orig_mod.{}", "model.{}", "net.model.{}",
     "module.model.{}", "_orig_mod.model._orig_mod.{}"],
)  # fmt: skip
def test_a_prefix_on_either_side_is_undone(wrap, kept):
    old, new = list(MODEL), [wrap.format(name) for name in MODEL]
    if kept == "stored":
        old, new = new, old
    plan = plan_load(stored(*new), wanted(*old))
    assert filled(plan) == {b: (a, "prefix") for a, b in zip(new, old, strict=True)}
    assert not plan.faults
    assert plan.coverage.fraction == 1.0


def test_a_prefix_in_the_middle_is_undone():
    plan = plan_load(
        stored("net._orig_mod.a.weight", "net.b._checkpoint_wrapped_module.weight"),
        wanted("net.a.weight", "net.b.weight"),
    )
    assert not plan.faults
    assert plan.prefixes == (("_orig_mod", "_checkpoint_wrapped_module"), ())


def test_ddp_inside_a_model_is_undone_where_the_other_side_has_none():
    plan = plan_load(stored("net.module.a", "net.module.b"), wanted("net.a", "net.b"))
    assert {pair.how for pair in plan.pairs} == {"prefix"}
    assert not plan.faults


def test_both_sides_may_be_wrapped_each_in_its_own_way():
    plan = plan_load(
        stored(*(f"module._orig_mod.{name}" for name in MODEL)),
        wanted(*(f"_fsdp_wrapped_module.{name}" for name in MODEL)),
    )
    assert not plan.faults
    assert plan.prefixes == (("_orig_mod", "module"), ("_fsdp_wrapped_module",))


def test_equal_names_are_exact_even_where_they_look_wrapped():
    names = ("module.a.weight", "module.b.weight")
    assert {pair.how for pair in plan_load(stored(*names), wanted(*names)).pairs} == {"exact"}


def test_a_model_with_an_attribute_called_module_is_not_taken_for_its_own_wrapper():
    plan = plan_load(stored("module.a", "module.module.a"), wanted("a", "module.a"))
    assert filled(plan) == {"a": ("module.a", "prefix"), "module.a": ("module.module.a", "prefix")}


def test_two_stored_names_that_become_one_without_wrappers_are_ambiguous():
    plan = plan_load(stored("x.module.a", "module.x.a"), wanted("x.a"), LENIENT)
    assert plan.pairs == ()
    assert plan.ambiguities[0].candidates == ("module.x.a", "x.module.a")


def test_two_prefixes_that_explain_equally_much_are_a_question():
    both = [f"{side}.{name}" for side in ("online", "ema") for name in MODEL]
    plan = plan_load(stored(*both), wanted(*MODEL), LENIENT)
    assert plan.pairs == ()
    assert plan.nothing_loaded
    assert plan.ambiguities[0].candidates == ("ema.conv.bias", "online.conv.bias")
    assert "several prefixes" in plan.notes[0]


def test_a_common_prefix_leaves_what_does_not_have_it():
    plan = plan_load(stored(*(f"model.{n}" for n in MODEL), "criterion.weight"), wanted(*MODEL))
    assert len(plan.pairs) == 3
    assert plan.unexpected == ("criterion.weight",)
    assert plan.prefixes == (("model",), ())


def test_a_backbone_fills_its_part_of_a_bigger_model():
    plan = plan_load(stored(*MODEL), wanted(*(f"backbone.{n}" for n in MODEL), "head.weight"))
    assert plan.missing == ("head.weight",)
    assert plan.prefixes == ((), ("backbone",))
    assert plan.fault_kinds == ("missing",)


OLD_AND_NEW = [
    ("conv.weight_g", "conv.parametrizations.weight.original0"),
    ("conv.weight_v", "conv.parametrizations.weight.original1"),
    ("rnn.weight_ih_l0_g", "rnn.parametrizations.weight_ih_l0.original0"),
    ("fc.weight_orig", "fc.parametrizations.weight.original"),
    ("fc.weight_u", "fc.parametrizations.weight.0._u"),
    ("fc.weight_v", "fc.parametrizations.weight.0._v"),
]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("old", "new"), OLD_AND_NEW)
def test_both_spellings_of_a_parametrization_are_one(old, new, backwards):
    old, new = (new, old) if backwards else (old, new)
    plan = plan_load(stored(old), wanted(new))
    assert filled(plan) == {new: (old, "parametrization")}
    assert not plan.faults


def test_parametrizations_are_seen_through_wrappers_and_a_common_prefix():
    plan = plan_load(
        stored("module.gen.c.weight_g", "module.gen.c.weight_v", "module.gen.c.bias"),
        wanted(
            "c.parametrizations.weight.original0", "c.parametrizations.weight.original1", "c.bias"
        ),
    )
    assert not plan.faults
    assert {pair.how for pair in plan.pairs} == {"parametrization", "prefix"}


def test_a_pruned_weight_is_multiplied_by_its_mask():
    plan = plan_load(stored("fc.weight_orig", "fc.weight_mask"), wanted("fc.weight"))
    (pair,) = plan.pairs
    assert (pair.source, pair.action, pair.factor) == (
        "fc.weight_orig",
        "product",
        "fc.weight_mask",
    )
    assert not plan.faults


def test_a_whole_weight_fills_a_pruned_one_and_the_mask_stays():
    plan = plan_load(
        stored("fc.weight"),
        [*wanted("fc.weight_orig"), buffer("fc.weight_mask", (4, 4), "float32")],
    )
    assert filled(plan) == {"fc.weight_orig": ("fc.weight", "parametrization")}
    assert plan.defaulted == ("fc.weight_mask",)
    assert not plan.faults


def test_a_plain_weight_for_weight_norm_is_a_note_and_not_a_guess():
    plan = plan_load(
        stored("c.weight", "d.weight"),
        wanted(
            "c.parametrizations.weight.original0", "c.parametrizations.weight.original1", "d.weight"
        ),
    )
    assert plan.missing == (
        "c.parametrizations.weight.original0",
        "c.parametrizations.weight.original1",
    )
    assert any("parametriz" in note and "c.weight" in note for note in plan.notes)


def test_a_rename_rule_comes_before_everything_and_says_so():
    plan = plan_load(
        stored("old.a", "old.b"), wanted("new.a", "new.b"), MatchPolicy(rename=(("^old", "new"),))
    )
    assert {pair.how for pair in plan.pairs} == {"rename"}
    assert not plan.faults


def test_a_mapping_of_exact_names_renames_behind_wrappers_too():
    plan = plan_load(
        stored("_orig_mod.old", "_orig_mod.kept"),
        wanted("new", "kept"),
        MatchPolicy(rename={"old": "new"}),
    )
    assert filled(plan) == {
        "new": ("_orig_mod.old", "rename"), "kept": ("_orig_mod.kept", "prefix")
    }  # fmt: skip


def test_exact_names_may_change_places():
    plan = plan_load(
        stored("a", "b", "c"), wanted("a", "b", "c"),
        MatchPolicy(rename={"a": "b", "b": "c", "c": "a"}),
    )  # fmt: skip
    assert {target: source for target, (source, _) in filled(plan).items()} == {
        "b": "a", "c": "b", "a": "c"
    }  # fmt: skip
    assert not plan.faults


def test_two_names_renamed_to_one_are_a_fault_and_neither_is_taken():
    plan = plan_load(
        stored("q.w", "k.w", "o.w"), wanted("x.w", "o.w"), MatchPolicy(rename=(("q|k", "x"),))
    )
    assert "rename" in plan.fault_kinds
    assert "call 2 stored names 'x.w': k.w and q.w" in plan.faults[0]
    assert plan.unexpected == ("q.w", "k.w")
    assert plan.missing == ("x.w",)


def test_a_name_renamed_onto_one_that_is_there_is_a_fault():
    plan = plan_load(stored("a", "b"), wanted("b"), MatchPolicy(rename={"a": "b"}))
    assert plan.fault_kinds[0] == "rename"
    assert plan.pairs == ()


def test_a_rule_that_is_no_regular_expression_is_a_fault():
    plan = plan_load(stored("a"), wanted("a"), MatchPolicy(rename=(("(", "x"),)))
    assert plan.fault_kinds == ("rename",)


def test_rules_and_globs_that_match_nothing_are_noted():
    plan = plan_load(
        stored("a"), wanted("a"),
        MatchPolicy(rename=(("zzz", "y"),), allow_missing=("head.*",), allow_unexpected=("ema.*",)),
    )  # fmt: skip
    assert not plan.faults
    assert [n.split(" ")[0] for n in plan.notes] == ["the", "allow_missing:", "allow_unexpected:"]


def test_globs_allow_what_they_match_and_cross_dots():
    plan = plan_load(
        stored("a.w", "old.x.y"), wanted("a.w", "head.fc.w", "neck.w"),
        MatchPolicy(allow_missing=("head.*",), allow_unexpected=("old*",), min_coverage=0.1),
    )  # fmt: skip
    assert plan.allowed_missing == ("head.fc.w",)
    assert plan.allowed_unexpected == ("old.x.y",)
    assert plan.fault_kinds == ("missing",)
    assert "neck.w" in plan.faults[0]


def test_a_single_text_is_one_glob_and_not_its_letters():
    policy = MatchPolicy(allow_missing="head.*", min_coverage=0.1)
    plan = plan_load(stored("a"), wanted("a", "head.w", "h"), policy)
    assert plan.allowed_missing == ("head.w",)
    assert plan.missing == ("head.w", "h")


def test_the_counter_of_averaged_weights_is_left_but_never_made_up():
    counter = Entry("n_averaged", "int64", ())
    plan = plan_load([*stored("module.a", "module.b"), counter], wanted("a", "b"))
    assert plan.benign == ("n_averaged",)
    assert not plan.faults
    lacking = plan_load(stored("module.a"), [*wanted("module.a"), counter._replace(kind="buffer")])
    assert lacking.missing == ("n_averaged",)


def test_a_tied_name_that_is_not_stored_is_filled_through_its_mate():
    tied = [Entry(n, "float32", (8, 4), "parameter", 0) for n in ("wte.weight", "head.weight")]
    plan = plan_load(stored("wte.weight", shape=(8, 4)), tied)
    assert filled(plan) == {
        "wte.weight": ("wte.weight", "exact"), "head.weight": ("wte.weight", "tie")
    }  # fmt: skip
    assert plan.coverage == (1, 1, 128, 128)
    assert not plan.faults


def test_a_stored_mate_of_what_was_used_is_no_surprise():
    both = [Entry(n, "float32", (8, 4), "tensor", 0) for n in ("wte.weight", "head.weight")]
    plan = plan_load(both, wanted("wte.weight", shape=(8, 4)))
    assert plan.benign == ("head.weight",)
    assert not plan.faults


def test_mates_stored_as_two_tensors_are_noted():
    tied = [Entry(n, "float32", (4, 4), "parameter", 0) for n in ("a", "b")]
    plan = plan_load(stored("a", "b"), tied)
    assert "share memory" in plan.notes[0]
    assert not plan.faults


BENIGN = [
    buffer("bn.num_batches_tracked"), buffer("embeddings.position_ids", (1, 512)),
    buffer("h.0.attn.bias", (1, 1, 16, 16), "bool"), buffer("h.0.attn.masked_bias", (), "float32"),
    buffer("rotary_emb.inv_freq", (32,), "float32"), buffer("layers.0.attn.relative_position_index", (49, 49)),
    buffer("fc.total_ops", (1,), "float64"), buffer("pixel_mean", (3, 1, 1), "float32"),
    buffer("anchor_generator.cell_anchors.0", (3, 4), "float32"),
]  # fmt: skip


@pytest.mark.parametrize("entry", BENIGN, ids=lambda e: e.name)
def test_benign_buffers_fail_no_strict_load_on_either_side(entry):
    extra = plan_load([*stored("w"), entry._replace(kind="tensor")], wanted("w"))
    assert extra.benign == (entry.name,)
    lacking = plan_load(stored("w"), [*wanted("w"), entry])
    assert lacking.defaulted == (entry.name,)
    assert not extra.faults
    assert not lacking.faults


@pytest.mark.parametrize(
    "entry",
    [*(e._replace(kind="parameter") for e in BENIGN),
     buffer("bn.num_batches_tracked", (3,)), buffer("attn.bias", (64,), "float32"),
     buffer("fc.bias", (1, 1, 4, 4), "float32"), buffer("position_ids", (8, 64), "float32")],
    ids=lambda e: f"{e.kind} {e.name} {e.shape}",
)  # fmt: skip
def test_a_parameter_or_another_shape_of_that_name_is_not_benign(entry):
    plan = plan_load(stored("w"), [*wanted("w"), entry])
    assert plan.missing == (entry.name,)
    assert "missing" in plan.fault_kinds


def test_a_benign_table_of_another_length_keeps_its_value():
    plan = plan_load(
        [*stored("w"), Entry("position_ids", "int64", (1, 512))],
        [*wanted("w"), buffer("position_ids", (1, 1024))],
    )
    assert (plan.defaulted, plan.benign, plan.mismatched) == (
        ("position_ids",),
        ("position_ids",),
        (),
    )
    assert not plan.faults


def test_benign_buffers_that_are_on_both_sides_are_restored():
    both = buffer("bn.num_batches_tracked")
    assert filled(plan_load([both], [both])) == {both.name: (both.name, "exact")}


def test_an_extra_state_fits_whatever_is_stored_for_it():
    plan = plan_load(
        [*stored("w"), Entry("q._extra_state", "uint8", (128,))],
        [*wanted("w"), Entry("q._extra_state", "", (), "value")],
    )
    assert not plan.faults
    assert len(plan.pairs) == 2


def test_equal_names_are_not_given_up_for_a_wrapper_that_explains_fewer():
    names = ("module.a", "module.module.a")
    plan = plan_load(stored(*names), wanted(*names, "x"), LENIENT)
    assert filled(plan) == {name: (name, "exact") for name in names}


def test_a_prefix_that_explains_a_small_part_is_only_proposed():
    same = [f"body.{letter}" for letter in "abcdefgh"]
    plan = plan_load(stored(*same, "p.x", "p.y"), wanted(*same, "x", "y"))
    assert plan.prefixes == ((), ())
    assert {p[:2] for p in plan.proposals} == {("p.x", "x"), ("p.y", "y")}


def test_a_prefix_before_other_shapes_proves_nothing():
    plan = plan_load(stored("m.a", "m.b", shape=(9, 9)), wanted("a", "b"), LENIENT)
    assert plan.prefixes == ((), ())
    assert plan.nothing_loaded


def test_a_mate_of_another_size_is_not_filled_through_the_memory_that_it_shares():
    plan = plan_load(
        stored("a"),
        [
            Entry("a", "float32", (4, 4), "parameter", 0),
            Entry("b", "float32", (8, 4), "parameter", 0),
        ],
    )
    assert plan.missing == ("b",)


def test_a_mask_of_another_shape_is_not_multiplied():
    plan = plan_load(
        [*stored("w_orig", "b"), *stored("w_mask", shape=(2, 2))], wanted("w", "b"), LENIENT
    )
    assert plan.missing == ("w",)


def test_a_mask_that_trains_is_not_defaulted():
    plan = plan_load(stored("w", "b"), wanted("w_orig", "w_mask", "b"), LENIENT)
    assert plan.defaulted == ()
    assert "w_mask" in plan.missing

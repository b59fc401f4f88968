"""Likely renames: found by ends and shapes, proposed or applied, never guessed."""

import pytest

from ckptkit.match.plan import plan_load
from ckptkit.match.values import Entry, MatchPolicy, ShapeChoice

APPLY = MatchPolicy(apply_proposals=True)


def tensors(kind, **shapes):
    return [
        Entry(name.replace("__", "."), "float32", shape, kind) for name, shape in shapes.items()
    ]


def stored(**shapes):
    return tensors("tensor", **shapes)


def wanted(**shapes):
    return tensors("parameter", **shapes)


def blocks(kind, prefix, part, layers=3):
    return [
        Entry(f"{prefix}.{n}.{part}.{leaf}", "float32", shape, kind)
        for n in range(layers) for leaf, shape in (("q.weight", (4, 4)), ("out.weight", (4, 4)), ("out.bias", (4,)))
    ]  # fmt: skip


def test_a_unique_end_and_shape_is_proposed_with_a_reason_and_not_applied():
    plan = plan_load(stored(a=(2,), fc__weight=(10, 8)), wanted(a=(2,), head__weight=(10, 8)))
    (proposal,) = plan.proposals
    assert (proposal.source, proposal.target) == ("fc.weight", "head.weight")
    assert proposal.why
    assert plan.missing == ("head.weight",)
    assert plan.unexpected == ("fc.weight",)
    assert "apply_proposals" in plan.faults[plan.fault_kinds.index("missing")]


def test_a_proposal_is_applied_on_request_and_called_likeness():
    plan = plan_load(
        stored(a=(2,), fc__weight=(10, 8)), wanted(a=(2,), head__weight=(10, 8)), APPLY
    )
    assert {pair.target: pair.how for pair in plan.pairs} == {
        "a": "exact",
        "head.weight": "likeness",
    }
    assert not plan.proposals
    assert not plan.faults


def test_another_shape_is_no_likeness():
    plan = plan_load(stored(a=(2,), fc__weight=(10, 8)), wanted(a=(2,), head__weight=(10, 9)))
    assert plan.proposals == ()


def test_a_number_of_another_kind_is_no_likeness():
    plan = plan_load(
        [Entry("x.count", "int64", (3,)), Entry("a", "float32", (1,))],
        [Entry("y.count", "float32", (3,), "buffer"), Entry("a", "float32", (1,), "parameter")],
    )
    assert plan.proposals == ()


def test_two_that_fit_equally_well_are_an_ambiguity_and_stay_unmatched():
    plan = plan_load(
        stored(a=(2,), x__fc__weight=(4, 4), y__fc__weight=(4, 4)),
        wanted(a=(2,), z__fc__weight=(4, 4)), APPLY,
    )  # fmt: skip
    assert plan.ambiguities == (("z.fc.weight", "wanted", ("x.fc.weight", "y.fc.weight")),)
    assert plan.missing == ("z.fc.weight",)


def test_one_stored_name_for_two_wanted_ones_is_ambiguous_from_its_side():
    plan = plan_load(
        stored(a=(2,), x__fc__weight=(4, 4)),
        wanted(a=(2,), y__fc__weight=(4, 4), z__fc__weight=(4, 4)), APPLY,
    )  # fmt: skip
    assert plan.ambiguities == (("x.fc.weight", "stored", ("y.fc.weight", "z.fc.weight")),)
    assert len(plan.missing) == 2


def test_a_longer_common_end_beats_a_shorter_one():
    plan = plan_load(
        stored(a=(2,), x__block__fc__weight=(4, 4), y__fc__weight=(4, 4)),
        wanted(a=(2,), new__block__fc__weight=(4, 4)),
    )
    assert [p.source for p in plan.proposals] == ["x.block.fc.weight"]


@pytest.mark.parametrize(
    ("old", "new"),
    [(("encoder.layers", "attn"), ("backbone.layers", "attn")),
     (("layers", "attn"), ("layers", "self_attention")),
     (("transformer.h", "attn"), ("model.layers", "self_attn"))],
)  # fmt: skip
def test_a_block_that_was_renamed_is_followed_name_by_name_and_layer_by_layer(old, new):
    plan = plan_load(blocks("tensor", *old), blocks("parameter", *new), APPLY)
    assert not plan.faults
    assert len(plan.pairs) == 9
    for pair in plan.pairs:
        assert pair.source == pair.target.replace(new[0], old[0], 1).replace(new[1], old[1], 1)


def test_what_explains_many_names_decides_about_one_that_is_unclear():
    plan = plan_load(
        stored(encoder__a__w=(2, 2), encoder__b__w=(3, 3), encoder__conv__w=(4, 4)),
        wanted(
            backbone__a__w=(2, 2),
            backbone__b__w=(3, 3),
            backbone__conv__w=(4, 4),
            neck__conv__w=(4, 4),
        ),
    )
    assert ("encoder.conv.w", "backbone.conv.w") in [p[:2] for p in plan.proposals]
    assert plan.ambiguities == ()
    assert "encoder -> backbone explains 3 names" in plan.proposals[0].why


def test_a_renamed_block_takes_along_a_name_whose_shape_changed():
    old = stored(enc__a__w=(2, 2), enc__b__w=(3, 3), enc__embed__weight=(10, 4))
    new = wanted(bb__a__w=(2, 2), bb__b__w=(3, 3), bb__embed__weight=(12, 4))
    plan = plan_load(old, new, MatchPolicy(apply_proposals=True, on_shape=ShapeChoice("slice")))
    assert not plan.faults
    assert plan.mismatched == (("bb.embed.weight", "enc.embed.weight", (10, 4), (12, 4), "slice"),)


def test_deeper_models_still_find_the_layers_that_both_have():
    plan = plan_load(blocks("tensor", "enc", "attn", 2), blocks("parameter", "bb", "attn", 4))
    assert len(plan.proposals) == 6
    assert all(p.source.split(".")[1] == p.target.split(".")[1] for p in plan.proposals)


@pytest.mark.parametrize("backwards", [False, True])
def test_gamma_and_beta_are_likely_a_norms_weight_and_bias(backwards):
    old, new = {"n__gamma": (4,), "n__beta": (4,)}, {"n__weight": (4,), "n__bias": (4,)}
    old, new = (new, old) if backwards else (old, new)
    plan = plan_load(stored(x=(1,), **old), wanted(x=(1,), **new))
    assert {p[:2] for p in plan.proposals} == {
        tuple(pair) if not backwards else tuple(pair[::-1])
        for pair in (("n.gamma", "n.weight"), ("n.beta", "n.bias"))
    }


def test_neighbours_of_one_shape_that_both_changed_name_are_not_swapped():
    plan = plan_load(stored(a__w=(4, 4), b__w=(4, 4)), wanted(x__w=(4, 4), y__w=(4, 4)), APPLY)
    assert plan.pairs == ()
    assert len(plan.ambiguities) == 2


def test_stored_q_k_v_are_noted_where_qkv_is_wanted():
    layers = range(2)
    plan = plan_load(
        [Entry(f"l.{n}.attn.{p}_proj.weight", "float32", (64, 64)) for n in layers for p in "qkv"],
        [Entry(f"h.{n}.mixer.qkv.weight", "float32", (192, 64), "parameter") for n in layers],
    )
    (note,) = [note for note in plan.notes if "concat" in note]
    assert "l.0.attn.q_proj.weight" in note
    assert "h.0.mixer.qkv.weight [192, 64]" in note
    assert "1 more like it" in note


def test_a_stored_qkv_is_noted_where_q_k_v_are_wanted():
    plan = plan_load(
        [Entry("attn.c_attn.weight", "float32", (64, 192))],
        [
            Entry(f"attn.{p}.weight", "float32", (64, 64), "parameter")
            for p in ("query", "key", "value")
        ],
    )
    assert any("split" in note and "attn.c_attn.weight" in note for note in plan.notes)


def test_parts_whose_shapes_do_not_add_up_are_not_noted():
    plan = plan_load(
        [Entry(f"attn.{p}.weight", "float32", (64, 64)) for p in "qkv"],
        [Entry("attn.qkv.weight", "float32", (200, 64), "parameter")],
    )
    assert plan.notes == ()


def test_a_common_beginning_tells_equal_ends_apart():
    plan = plan_load(
        stored(x__fc__weight=(4, 4), y__fc__weight=(4, 4)),
        wanted(x__lin__weight=(4, 4), y__lin__weight=(4, 4)), APPLY,
    )  # fmt: skip
    assert {p.target: p.source for p in plan.pairs} == {
        "x.lin.weight": "x.fc.weight", "y.lin.weight": "y.fc.weight"
    }  # fmt: skip


def test_a_common_beginning_is_better_than_none():
    plan = plan_load(
        stored(x__fc__weight=(4, 4)), wanted(x__lin__weight=(4, 4), y__lin__weight=(4, 4))
    )
    assert [p[:2] for p in plan.proposals] == [("x.fc.weight", "x.lin.weight")]

"""Matching, held to its promises on models that nobody thought of."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ckptkit.match.plan import plan_load
from ckptkit.match.values import Entry, MatchPolicy, ShapeChoice
from tests.growth import grows_in_step, work_of

THOROUGH = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

SEGMENTS = ("a", "b", "enc", "dec", "0", "1", "2", "attn", "q", "k", "v", "qkv", "norm", "module",
            "_orig_mod", "parametrizations")  # fmt: skip
LEAVES = ("weight", "bias", "gamma", "beta", "weight_g", "weight_v", "weight_orig", "weight_mask",
          "weight_u", "original0", "original1", "num_batches_tracked", "position_ids",
          "_extra_state")  # fmt: skip
DTYPE_NAMES = ("float32", "float16", "int64")
SHAPES = ((), (4,), (4, 4), (8, 4), (1, 4), (12, 4), (2, 3, 4))
WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.",
            "_forward_module.")  # fmt: skip


@st.composite
def names(draw, segments=SEGMENTS, leaves=LEAVES):
    path = draw(st.lists(st.sampled_from(segments), max_size=4))
    return ".".join([*path, draw(st.sampled_from(leaves))])


@st.composite
def entries(draw, kinds, segments=SEGMENTS, leaves=LEAVES, min_size=0):
    found = draw(st.lists(names(segments, leaves), unique=True, min_size=min_size, max_size=10))
    made = []
    for name in found:
        shape = draw(st.sampled_from(SHAPES))
        dtype = draw(st.sampled_from(DTYPE_NAMES))
        tie = tie_of(draw, shape, dtype)
        made.append(Entry(name, dtype, shape, draw(st.sampled_from(kinds)), tie))
    return [
        e if not e.name.endswith("_extra_state") else Entry(e.name, "", (), "value") for e in made
    ]


def tie_of(draw, shape, dtype):
    """Names that share memory have one shape and one dtype."""
    number = 3 * SHAPES.index(shape) + DTYPE_NAMES.index(dtype)
    return number if draw(st.integers(0, 5)) == 0 else -1


STORED = entries(("tensor", "parameter", "buffer"))
WANTED = entries(("parameter", "buffer"))
POLICIES = st.builds(
    MatchPolicy,
    allow_missing=st.sampled_from((False, True, ("a.*",))),
    allow_unexpected=st.sampled_from((False, True, ("*bias",))),
    rename=st.sampled_from(((), (("^enc", "dec"),), (("q|k", "v"),), {"a.weight": "b.weight"})),
    apply_proposals=st.booleans(),
    on_shape=st.sampled_from([ShapeChoice(a) for a in ("error", "skip", "slice", "custom")]),
    min_coverage=st.sampled_from((0.0, 0.5, 1.0)),
)


@THOROUGH
@given(stored=STORED, wanted=WANTED, policy=POLICIES)
def test_every_name_is_accounted_for_exactly_once(stored, wanted, policy):
    plan = plan_load(stored, wanted, policy)
    refused = [item for item in plan.mismatched if item.outcome == "error"]
    targets = [pair.target for pair in plan.pairs] + [item.target for item in refused]
    assert sorted([*targets, *plan.missing, *plan.defaulted]) == sorted(e.name for e in wanted)
    used = {pair.source for pair in plan.pairs} | {item.source for item in refused}
    factors = [pair.factor for pair in plan.pairs if pair.factor and pair.how != "tie"]
    left = [*used, *factors, *plan.unexpected, *plan.benign]
    assert sorted(left) == sorted(e.name for e in stored)


@THOROUGH
@given(stored=STORED, wanted=WANTED, policy=POLICIES)
def test_no_source_fills_two_names_that_do_not_share_memory(stored, wanted, policy):
    plan = plan_load(stored, wanted, policy)
    tie = {entry.name: entry.tie if entry.tie >= 0 else entry.name for entry in wanted}
    memories = {(pair.source, tie[pair.target]) for pair in plan.pairs}
    assert max(Counter(source for source, _ in memories).values(), default=1) == 1
    assert all(pair.how != "tie" or wanted_tie >= 0 for pair in plan.pairs
               for wanted_tie in [next(e.tie for e in wanted if e.name == pair.target)])  # fmt: skip


@THOROUGH
@given(stored=STORED, wanted=WANTED, policy=POLICIES)
def test_planning_again_after_renaming_gives_exact_pairs(stored, wanted, policy):
    plan = plan_load(stored, wanted, policy)
    assume("rename" not in plan.fault_kinds)
    called = {pair.source: pair.target for pair in plan.pairs if pair.how != "tie"}
    called |= {item.source: item.target for item in plan.mismatched if item.outcome == "error"
               and item.source not in called}  # fmt: skip
    factors = {pair.factor for pair in plan.pairs}
    again = [
        entry._replace(name=called.get(entry.name, f"unused{number}"))
        for number, entry in enumerate(stored)
        if entry.name not in factors
    ]
    strict = MatchPolicy(on_shape=policy.on_shape)
    second = {pair.target: pair for pair in plan_load(again, wanted, strict).pairs}
    for pair in plan.pairs:
        assert second[pair.target].how == ("tie" if pair.how == "tie" else "exact")
        if pair.how != "tie":
            assert second[pair.target].source == pair.target


@THOROUGH
@given(stored=STORED, wanted=WANTED, policy=POLICIES, data=st.data())
def test_the_order_of_either_side_changes_nothing(stored, wanted, policy, data):
    plan = plan_load(stored, wanted, policy)
    shuffled = plan_load(
        data.draw(st.permutations(stored)), data.draw(st.permutations(wanted)), policy
    )
    for field in ("pairs", "missing", "unexpected", "defaulted", "benign", "mismatched",
                  "proposals", "ambiguities", "faults", "fault_kinds"):  # fmt: skip
        assert sorted(getattr(shuffled, field)) == sorted(getattr(plan, field)), field
    assert shuffled.coverage == plan.coverage
    assert shuffled.prefixes == plan.prefixes


PLAIN = ("a", "b", "enc", "dec", "0", "1", "attn", "q", "norm")
LEAF = ("weight", "bias", "scale", "num_batches_tracked")


@THOROUGH
@given(
    stored=entries(("tensor",), PLAIN, LEAF),
    wanted=entries(("parameter", "buffer"), PLAIN, LEAF),
    data=st.data(),
)
def test_wrappers_of_either_side_change_nothing_but_their_mention(stored, wanted, data):
    plan = plan_load(stored, wanted)
    inside = data.draw(st.sampled_from(("", *PLAIN)))

    def wrapped(side):
        outer = "".join(data.draw(st.lists(st.sampled_from(WRAPPERS), max_size=3)))
        inner = "".join(data.draw(st.lists(st.sampled_from(WRAPPERS), max_size=2)))
        called = {}
        for entry in side:
            head, dot, rest = entry.name.partition(".")
            name = f"{head}.{inner}{rest}" if dot and head == inside else entry.name
            called[outer + name] = entry.name
        return [e._replace(name=n) for e, n in zip(side, called, strict=True)], called

    (stored, old), (wanted, new) = wrapped(stored), wrapped(wanted)
    other = plan_load(stored, wanted)
    assert {(old[p.source], new[p.target], p.action, p.cast) for p in other.pairs} == {
        (p.source, p.target, p.action, p.cast) for p in plan.pairs
    }
    assert {new[n] for n in other.missing} == {*plan.missing}
    assert {old[n] for n in other.unexpected} == {*plan.unexpected}
    assert {(old[p.source], new[p.target]) for p in other.proposals} == {
        (p.source, p.target) for p in plan.proposals
    }
    assert other.fault_kinds == plan.fault_kinds
    assert other.coverage == plan.coverage


@THOROUGH
@given(stored=entries(("tensor",), ("x", "y", "3"), ("kernel", "offset"), 1),
       wanted=entries(("parameter",), ("a", "b", "4"), ("weight", "bias"), 1), policy=POLICIES)  # fmt: skip
def test_a_model_without_a_common_name_is_refused_whatever_is_allowed(stored, wanted, policy):
    plan = plan_load(stored, wanted, policy)
    assert plan.nothing_loaded
    assert plan.faults


@THOROUGH
@given(stored=STORED, wanted=WANTED, policy=POLICIES)
def test_what_is_left_over_is_allowed_or_refused_in_a_sentence(stored, wanted, policy):
    plan = plan_load(stored, wanted, policy)
    assert ("missing" in plan.fault_kinds) == bool({*plan.missing} - {*plan.allowed_missing})
    assert ("unexpected" in plan.fault_kinds) == bool(
        {*plan.unexpected} - {*plan.allowed_unexpected}
    )
    assert len(plan.faults) == len(plan.fault_kinds)
    assert all(sentence.strip() and "\n" not in sentence for sentence in plan.faults)


def layers(count, prefix="", word="attn"):
    return [
        Entry(f"{prefix}layers.{layer}.{word}.{part}", "float32", (8, 8), "parameter")
        for layer in range(count) for part in ("q.weight", "k.weight", "v.weight", "o.bias")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "stored",
    [layers, lambda n: layers(n, "module._orig_mod."), lambda n: layers(n, "model."),
     lambda n: layers(n, "", "attention"), lambda n: layers(n, "encoder."),
     lambda n: [e._replace(name=f"w{i}") for i, e in enumerate(layers(n))],
     lambda n: [e._replace(name=f"{e.name[::-1]}.weight") for e in layers(n)]],
)  # fmt: skip
def test_four_times_the_names_are_four_times_the_work(stored):
    policy = MatchPolicy(apply_proposals=True)
    assert grows_in_step(lambda n: lambda: plan_load(stored(n), layers(n), policy), 100)


def test_names_that_fit_cost_little_each():
    wanted = layers(500)
    assert work_of(lambda: plan_load(wanted, wanted)) < 120 * len(wanted)

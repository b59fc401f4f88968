"""Laws: nothing differs from itself, every change is seen, and both directions agree."""

import copy
import math
import pathlib
import tempfile

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptkit.verbs.diff import diff
from ckptkit.verbs.migrate import migrate

names = st.text("abc.01", min_size=1, max_size=6)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=6),
    st.binary(max_size=4), st.complex_numbers(),
)  # fmt: skip
tensors = st.builds(
    lambda size, seed: torch.randn(size, 3, generator=torch.Generator().manual_seed(seed)),
    st.integers(0, 4), st.integers(0, 3),
)  # fmt: skip
trees = st.recursive(
    st.one_of(scalars, tensors),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner),
        st.dictionaries(st.one_of(names, st.integers(0, 9)), inner, max_size=3),
        st.lists(inner, min_size=1, max_size=2).map(lambda x: {"a": x, "b": x}),
    ),
    max_leaves=10,
)  # fmt: skip
states = st.fixed_dictionaries(
    {
        "model": st.dictionaries(names, tensors, min_size=1, max_size=4),
        "epoch": st.integers(0, 9),
        "stuff": trees,
    }
)


def saved(folder, name, state):
    torch.save(state, folder / name)
    return folder / name


@settings(max_examples=60, deadline=None)
@given(state=states)
def test_nothing_differs_from_itself_nor_from_its_sealed_folder(state):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path = saved(folder, "a.pt", state)
        copied = saved(folder, "b.pt", copy.deepcopy(state))
        sealed = migrate(path, folder / "sealed").target
        for one, other in ((path, copied), (path, sealed), (sealed, copied)):
            report = diff(one, other)
            assert report.same, (report.counts, report.settings)


@settings(max_examples=60, deadline=None)
@given(state=states, data=st.data())
def test_every_change_is_seen_from_both_sides(state, data):
    changed = copy.deepcopy(state)
    what = data.draw(st.sampled_from(["value", "name", "epoch", "stuff"]))
    key = data.draw(st.sampled_from(sorted(changed["model"])))
    if what == "value":
        changed["model"][key] = changed["model"][key] + 1
    elif what == "name":
        changed["model"][key + "z"] = changed["model"].pop(key)
    elif what == "epoch":
        changed["epoch"] += 1
    else:
        changed["stuff"] = {"now": changed["stuff"]}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        one, other = saved(folder, "a.pt", state), saved(folder, "b.pt", changed)
        there, back = diff(one, other), diff(other, one)
        assert there.same == back.same
        mirrored = {"only-a": "only-b", "only-b": "only-a"}
        assert {mirrored.get(k, k): n for k, n in there.counts.items()} == back.counts
        empty = what == "value" and not state["model"][key].numel()
        lone = what == "stuff" and state["stuff"] in ({}, [])
        if not empty and not lone:
            assert not there.same
        for row in there.rows:
            assert row.figures is None or not math.isnan(row.figures.relative_l2)


@settings(max_examples=40, deadline=None)
@given(state=states)
def test_every_tensor_of_both_sides_stands_in_exactly_one_row(state):
    other = copy.deepcopy(state)
    other["model"] = {f"net.{k}": v for k, v in other["model"].items()} | {"extra.w": torch.ones(2)}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        report = diff(saved(folder, "a.pt", state), saved(folder, "b.pt", other))
        ours = [row.a.place for row in report.rows if row.a is not None]
        theirs = [row.b.place for row in report.rows if row.b is not None]
        assert len(set(ours)) == len(ours)
        assert len(set(theirs)) == len(theirs)
        assert len([place for place in ours if place.startswith("model/")]) == len(state["model"])
        assert len([p for p in theirs if p.startswith("model/")]) == len(other["model"])

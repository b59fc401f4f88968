import copy
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch

import ckptkit
from ckptkit.errors import MismatchError
from tests.unit.training import same


def stored(tmp_path, **state):
    ckptkit.save(tmp_path / "c", state)
    return tmp_path / "c"


def test_a_dict_gets_the_stored_values_where_it_is(tmp_path):
    progress = {"epoch": 3, "best": None, "nested": {"list": [1, {"x": (2, 3)}], 7: "seven"}}
    path = stored(tmp_path, progress=copy.deepcopy(progress))
    live = {"epoch": 0, "nested": {"list": [], 7: ""}}
    nested, inner = live["nested"], live["nested"]["list"]
    ckptkit.restore(path, {"progress": live})
    assert live == progress
    assert live["nested"] is nested
    assert nested["list"] is inner


def test_a_key_of_its_own_stays_and_is_told(tmp_path):
    path = stored(tmp_path, progress={"epoch": 3})
    live = {"epoch": 0, "new counter": 5}
    report = ckptkit.restore(path, {"progress": live})
    assert live == {"epoch": 3, "new counter": 5}
    (line,) = report.component("progress").lines
    assert (line.kind, line.name) == ("defaulted", "new counter")


def test_tensors_of_one_shape_and_dtype_are_filled_where_they_lie(tmp_path):
    path = stored(tmp_path, data={"seen": torch.arange(4), "queue": [torch.ones(2, 3)]})
    live = {"seen": torch.zeros(4, dtype=torch.int64), "queue": [torch.zeros(3, 2).t()]}
    seen, queued = live["seen"], live["queue"][0]
    ckptkit.restore(path, {"data": live})
    assert live["seen"] is seen
    assert live["queue"][0] is queued
    assert torch.equal(seen, torch.arange(4))
    assert torch.equal(queued, torch.ones(2, 3))


@pytest.mark.parametrize(
    "live", [torch.zeros(3), torch.zeros(4, dtype=torch.float64), torch.zeros(1).expand(4)]
)
def test_tensors_that_do_not_fit_are_replaced(live, tmp_path):
    path = stored(tmp_path, data={"x": torch.arange(4.0)})
    before = live.clone()
    tree = {"x": live}
    ckptkit.restore(path, {"data": tree})
    assert same(tree["x"], torch.arange(4.0))
    assert torch.equal(live, before)


def test_arrays_are_filled_where_they_lie_too(tmp_path):
    path = stored(tmp_path, data={"x": np.arange(4, dtype=np.int32)})
    live = {"x": np.zeros(4, dtype=np.int32)}
    array = live["x"]
    ckptkit.restore(path, {"data": live})
    assert live["x"] is array
    assert array.tolist() == [0, 1, 2, 3]


def test_a_list_becomes_the_stored_one_in_place(tmp_path):
    path = stored(tmp_path, history=[{"loss": 1.0}, {"loss": 0.5}])
    live = [{"loss": 9.0, "other": 1}]
    other = live
    ckptkit.restore(path, {"history": live})
    assert other == [{"loss": 1.0}, {"loss": 0.5}]


def test_kinds_of_mappings_and_aliases_come_back(tmp_path):
    shared = [1, 2]
    state = {"a": shared, "b": shared, "c": OrderedDict(x=1), "d": defaultdict(list, y=[3])}
    path = stored(tmp_path, extra=state)
    live = {}
    ckptkit.restore(path, {"extra": live})
    assert live == state
    assert live["a"] is live["b"]
    assert type(live["c"]) is OrderedDict
    assert live["d"]["new"] == []


def test_tied_tensors_are_tied_again(tmp_path):
    tensor = torch.ones(3)
    path = stored(tmp_path, extra={"a": tensor, "b": tensor})
    live = {"a": torch.zeros(3), "b": torch.zeros(3)}
    first = live["a"]
    ckptkit.restore(path, {"extra": live})
    live["b"].add_(1)
    assert torch.equal(live["a"], torch.full((3,), 2.0))
    assert live["a"] is first


@pytest.mark.parametrize("live", [3, "text", (1, 2), {1, 2}])
def test_what_cannot_be_changed_in_place_is_refused_with_advice(live, tmp_path):
    path = stored(tmp_path, extra=[3])
    with pytest.raises(MismatchError, match=r"Checkpoint\.state"):
        ckptkit.restore(path, {"extra": live})


def test_a_tree_of_another_form_is_refused_and_nothing_is_changed(tmp_path):
    path = stored(tmp_path, progress={"epoch": 3}, data=torch.ones(2))
    live, tensor = [1], torch.zeros(3)
    with pytest.raises(MismatchError, match="a list here, a dict in the checkpoint"):
        ckptkit.restore(path, {"progress": live})
    with pytest.raises(MismatchError, match=r"float32 \[2\] in the checkpoint, float32 \[3\] here"):
        ckptkit.restore(path, {"data": tensor})
    assert live == [1]
    assert torch.equal(tensor, torch.zeros(3))


def test_a_tensor_can_be_a_target_itself(tmp_path):
    path = stored(tmp_path, extra=torch.arange(3.0))
    live = torch.zeros(3)
    ckptkit.restore(path, {"extra": live})
    assert torch.equal(live, torch.arange(3.0))


def test_none_takes_nothing_and_tells_what_is_there(tmp_path):
    path = stored(tmp_path, extra=[torch.ones(2)])
    component = ckptkit.restore(path, {"extra": None}).component("extra")
    assert component.status == "fresh"
    assert "1 tensors of 8 bytes" in component.notes[0]


class Sampler:
    """Anything with a state_dict."""

    def __init__(self):
        self.state = {"order": torch.zeros(4, dtype=torch.int64), "at": 0}

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state):
        if "at" not in state:
            raise KeyError("at")
        self.state = state


def test_an_object_gets_its_state_by_its_own_load_state_dict(tmp_path):
    old = Sampler()
    old.state = {"order": torch.arange(4), "at": 2, "deep": {"x": [1, (2,)]}}
    path = stored(tmp_path, data=old)
    new = Sampler()
    component = ckptkit.restore(path, {"data": new}).component("data")
    assert same(new.state, old.state)
    assert (component.kind, component.coverage.tensors) == ("stateful", 1)


def test_what_its_own_code_refuses_is_told_with_its_place(tmp_path):
    path = stored(tmp_path, data={"other": 1})
    with pytest.raises(MismatchError, match=r"data: its load_state_dict failed \(KeyError"):
        ckptkit.restore(path, {"data": Sampler()})


def test_objects_inside_trees_are_components_of_their_own(tmp_path):
    old = Sampler()
    old.state = {"order": torch.arange(4), "at": 2}
    path = stored(tmp_path, data={"train": old, "rounds": [1, 2]})
    new, rounds = Sampler(), []
    report = ckptkit.restore(path, {"data": {"train": new, "rounds": rounds}})
    assert same(new.state, old.state)
    assert rounds == [1, 2]
    assert [part.name for part in report.components] == ["data/train", "data/rounds"]


def test_tensors_that_share_memory_here_alone_get_the_values_of_each(tmp_path):
    path = stored(tmp_path, data={"mean": torch.ones(3), "var": torch.full((3,), 2.0)})
    zeros = torch.zeros(3)
    live = {"mean": zeros, "var": zeros}
    report = ckptkit.restore(path, {"data": live})
    assert same(live, {"mean": torch.ones(3), "var": torch.full((3,), 2.0)})
    assert "share memory here and not in the checkpoint" in report.component("data").notes[0]


def test_tensors_that_overlap_here_alone_get_the_values_of_each(tmp_path):
    path = stored(tmp_path, data=[torch.ones(2), torch.full((2,), 2.0), torch.zeros(1)])
    whole = torch.zeros(4)
    live = [whole[:2], whole[1:3], whole[3:]]
    last = live[2]
    ckptkit.restore(path, {"data": live})
    assert same(live, [torch.ones(2), torch.full((2,), 2.0), torch.zeros(1)])
    assert live[2] is last

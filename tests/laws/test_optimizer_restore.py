"""Whatever became of a model's parameters, each keeps exactly the state that was its own."""

import copy
import tempfile
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptkit

MAKERS = {
    "Adam": lambda groups: torch.optim.Adam(groups, amsgrad=True),
    "Adafactor": torch.optim.Adafactor,
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "RMSprop": lambda groups: torch.optim.RMSprop(groups, centered=True, momentum=0.5),
    "Adagrad": torch.optim.Adagrad,
    "NAdam": torch.optim.NAdam,
    "Rprop": torch.optim.Rprop,
}
SHAPES = st.sampled_from([(3,), (2, 2), (2, 2), (3, 1), ()])
NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=6)


class Holder(torch.nn.Module):
    """A module of parameters and nothing else, in the order given."""

    def __init__(self, shapes):
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.randn(shape)))


@st.composite
def histories(draw):
    """A model that was saved, and what became of it."""
    old = {name: draw(SHAPES) for name in draw(NAMES)}
    kept = draw(st.lists(st.sampled_from(sorted(old)), unique=True, min_size=1))
    new = {name: old[name] for name in kept}
    reshaped = draw(st.sets(st.sampled_from(sorted(kept)), max_size=len(kept) - 1))
    for name in reshaped:
        new[name] = (*old[name], 2)
    for name in draw(st.lists(st.sampled_from("uvwxyz"), unique=True, max_size=2)):
        new[name] = draw(SHAPES)
    order = draw(st.permutations(sorted(new)))
    old_frozen = draw(st.sets(st.sampled_from(sorted(old))))
    new_frozen = draw(st.sets(st.sampled_from(sorted(new))))
    return old, {name: new[name] for name in order}, old_frozen, new_frozen


def optimize(kind, model, frozen, split):
    """Make the optimizer of what trains, in one group or several."""
    parameters = dict(model.named_parameters())
    for name in frozen:
        parameters[name].requires_grad_(False)
    names = [name for name in parameters if name not in frozen]
    if not names:
        return None, names
    cut = split % len(names)
    parts = [part for part in (names[cut:], names[:cut]) if part]
    groups = [{"params": [parameters[name] for name in part]} for part in parts]
    return MAKERS[kind](groups), [name for part in parts for name in part]


@settings(max_examples=80, deadline=None)
@given(
    history=histories(), kind=st.sampled_from(sorted(MAKERS)), splits=st.tuples(*[st.integers(0, 5)] * 2),
    missed=st.sets(st.sampled_from("abcdefgh")),
)  # fmt: skip
def test_every_parameter_on_both_sides_gets_its_own_state_and_the_rest_is_told(
    history, kind, splits, missed
):
    old_shapes, new_shapes, old_frozen, new_frozen = history
    old, new = Holder(old_shapes), Holder(new_shapes)
    optimizer, old_names = optimize(kind, old, old_frozen, splits[0])
    resumed, new_names = optimize(kind, new, new_frozen, splits[1])
    if optimizer is None or resumed is None:
        return
    for _ in range(2):
        for name, parameter in old.named_parameters():
            parameter.grad = None if name in missed else torch.randn(parameter.shape)
        optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    stays = [n for n in new_names if n in old_names and old_shapes[n] == new_shapes[n]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "c")
        ckptkit.save(path, {"model": old, "optimizer": optimizer}, provenance=False)
        targets = {"model": new, "optimizer": resumed}
        lenient = {
            "allow_missing": True,
            "allow_unexpected": True,
            "on_shape": "skip",
            "min_coverage": 0,
        }
        planned = ckptkit.plan_restore(path, targets, **lenient)
        if planned.component("optimizer").faults:
            assert not stays
            return
        if not planned.ok:  # the model itself has nothing in common
            return
        report = ckptkit.restore(path, targets, **lenient)
    component = report.component("optimizer")
    own, live = dict(old.named_parameters()), dict(new.named_parameters())
    for name in new_names:
        expected = optimizer.state.get(own[name], {}) if name in stays else {}
        found = resumed.state.get(live[name], {})
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            if isinstance(value, torch.Tensor):
                assert found[key].dtype == value.dtype
                assert torch.equal(found[key], value)
            else:
                assert found[key] == value
    told = {(line.kind, line.name) for line in component.lines}
    assert told == {("fresh", name) for name in new_names if name not in stays} | {
        ("dropped", name) for name in old_names if name not in stays
    }
    assert (component.coverage.tensors, component.coverage.of_tensors) == (
        len(stays),
        len(new_names),
    )
    assert component.status == ("partly" if told else "restored")
    after = optimizer.state_dict()
    assert before["param_groups"] == after["param_groups"]


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(MAKERS)),
    order=st.permutations(range(5)),
    again=st.permutations(range(5)),
)
def test_the_order_of_the_parameters_does_not_matter(kind, order, again):
    torch.manual_seed(0)
    shapes = dict.fromkeys("abcde", (2, 2))
    old, new = Holder(shapes), Holder(shapes)
    mine, theirs = list(old.parameters()), list(new.parameters())
    optimizer = MAKERS[kind]([mine[i] for i in order])
    for parameter in mine:
        parameter.grad = torch.randn(parameter.shape)
    optimizer.step()
    resumed = MAKERS[kind]([theirs[i] for i in again])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "c")
        ckptkit.save(path, {"model": old, "optimizer": optimizer}, provenance=False)
        ckptkit.restore(path, {"model": new, "optimizer": resumed})
    for left, right in zip(mine, theirs, strict=True):
        state, found = optimizer.state[left], resumed.state[right]
        assert all(
            torch.equal(torch.as_tensor(found[k]), torch.as_tensor(v)) for k, v in state.items()
        )
        assert found.keys() == state.keys()

import pytest
import torch

from ckptkit.errors import OptimizerMatchError
from ckptkit.nodes import MapNode
from ckptkit.tree import to_node
from ckptkit.verbs.restoring.stored_optimizer import is_optimizer, parse_optimizer
from tests.unit.test_restore_optimizers import by_name
from tests.unit.training import network, train


def parsed(value):
    return parse_optimizer("file.pt: optimizer", to_node(value))


def groups(*members, **settings):
    return [{**settings, "params": list(own)} for own in members]


def test_numbers_are_read_in_the_order_of_the_groups():
    state = {2: {"m": 2}, 0: {"m": 0}, 7: {"m": 7}, "global": {"x": 1}}
    found = parsed({"state": state, "param_groups": groups([7, 2], [0], lr=0.5)})
    assert [node["m"] for node in found.states] == [7, 2, 0]
    assert [(p.number, p.group, p.name, p.shape) for p in found.parameters] == [
        (0, 0, "", None), (1, 0, "", None), (2, 1, "", None),
    ]  # fmt: skip
    assert found.groups == ({"lr": 0.5}, {"lr": 0.5})
    assert [key for key, _ in found.loose] == ["global"]


def test_names_come_from_our_own_entry_first_then_from_torch_then_from_the_keys():
    base = {"state": {}, "param_groups": [{"params": [0, 1], "param_names": ["a", "b"]}]}
    assert [p.name for p in parsed(base).parameters] == ["a", "b"]
    entry = {"sections": ["m", ""], "names": ["x", ""], "shapes": [(2, 3), (4,)]}
    own = parsed({**base, "parameters": entry})
    assert [(p.name, p.shape) for p in own.parameters] == [("x", (2, 3)), ("", (4,))]
    assert own.sections == ("m", "")
    by_key = parsed({"state": {"w": {"m": 1}}, "param_groups": groups(["w", "b"])})
    assert [p.name for p in by_key.parameters] == ["w", "b"]
    assert [node is None for node in by_key.states] == [False, True]


@pytest.mark.parametrize(
    "entry", [3, {}, {"names": ["a"], "shapes": [()]}, {"names": ["a", "b"], "shapes": 4}]
)
def test_an_entry_that_does_not_fit_is_not_believed(entry):
    found = parsed({"state": {}, "param_groups": groups([0, 1]), "parameters": entry})
    assert [p.name for p in found.parameters] == ["", ""]


@pytest.mark.parametrize("shape", [(1, -2), ("a",), None, 3])
def test_a_shape_that_is_none_is_unknown(shape):
    entry = {"names": ["a"], "shapes": [shape]}
    found = parsed({"state": {}, "param_groups": groups([0]), "parameters": entry})
    assert found.parameters[0].shape is None


def test_flattened_state_makes_a_group_of_equal_settings():
    model = network()
    weights, biases = (
        [p for name, p in model.named_parameters() if name.endswith(kind)]
        for kind in ("weight", "bias")
    )
    optimizer = torch.optim.Adam([{"params": weights, "lr": 0.1}, {"params": biases}])
    flat = {}
    for name, lr in (("a.b", 0.1), ("c", 0.2), ("d", 0.1)):
        flat |= {f"state.{name}.step": 3, f"param_groups.{name}.lr": lr}
    found = parsed(flat)
    assert [[p.name for p in found.parameters if p.group == g] for g in (0, 1)] == [
        ["a.b", "d"],
        ["c"],
    ]
    assert found.groups == ({"lr": 0.1}, {"lr": 0.2})
    train(model, optimizer)


def test_both_forms_of_distributed_checkpoints_say_the_same():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
    train(model, optimizer)

    def words(flat):
        node = to_node(by_name(model, optimizer, flat=flat), tensor=id)
        found = parse_optimizer("x", node)
        return {
            p.name: dict(s.items()) for p, s in zip(found.parameters, found.states, strict=True)
        }

    assert words(flat=True) == words(flat=False)


@pytest.mark.parametrize("broken", [
    {"state": {}, "param_groups": groups([0, 1], [1])},
    {"state": {}, "param_groups": groups([0, 0])},
    {"state": {}, "param_groups": [{"lr": 1}]},
    {"state": {}, "param_groups": [3]},
])  # fmt: skip
def test_a_form_that_contradicts_itself_is_refused(broken):
    with pytest.raises(OptimizerMatchError):
        parsed(broken)


@pytest.mark.parametrize(("value", "expected"), [
    ({"state": {}, "param_groups": []}, True),
    ({"param_groups.a.lr": 1}, True),
    ({"state": {}}, False),
    ({"param_groups": {}}, False),
    ([1], False),
    (None, False),
])  # fmt: skip
def test_what_is_an_optimizer_is_told_by_its_groups(value, expected):
    assert is_optimizer(to_node(value)) is expected


def test_state_that_is_no_mapping_counts_as_none():
    found = parsed({"state": {0: 5}, "param_groups": groups([0])})
    assert found.states == (None,)
    assert isinstance(to_node({}), MapNode)

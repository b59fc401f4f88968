"""A bare state_dict in all its wrappings."""

import pytest

from ckptkit.nodes import MapNode
from tests.dialects.accounting import codes, linear, module, node_of, read, state_dict, tensor


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "module.module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.",
     "_fsdp_wrapped_module.", "_fsdp_wrapped_module._checkpoint_wrapped_module."],
)  # fmt: skip
def test_wrappers_come_off_whatever_their_order(prefix):
    verdict, reading = read(state_dict(prefix=prefix))
    assert (verdict.dialect.name, reading.version) == ("bare", 0)
    assert list(reading.document) == ["conv.weight", "conv.bias", "head.weight"]
    assert reading.moves[0].renamed == (
        {prefix + n: n for n in ("conv.weight", "conv.bias", "head.weight")} if prefix else None
    )


def test_a_wrapper_inside_the_path_comes_off_and_an_attribute_called_module_stays():
    names = ["net.module.0._orig_mod.weight", "blocks.1._checkpoint_wrapped_module.fc.bias"]
    _, reading = read({name: tensor(2) for name in names})
    assert list(reading.document) == ["net.module.0.weight", "blocks.1.fc.bias"]


def test_module_stays_where_one_name_lacks_it():
    _, reading = read({"module.weight": tensor(2), "scale": tensor(1)})
    assert list(reading.document) == ["module.weight", "scale"]


def test_two_names_never_become_one():
    _, reading = read({"_orig_mod.weight": tensor(2), "weight": tensor(3)})
    assert list(reading.document) == ["_orig_mod.weight", "weight"]


def test_metadata_of_an_ordered_dict_stays_with_it():
    root = node_of(state_dict(prefix="module."))
    root.kind, root.attrs = "OrderedDict", node_of({"_metadata": {"module": {"version": 1}}})
    _, reading = read(root)
    assert reading.document.attrs is root.attrs
    assert reading.document.kind == "OrderedDict"


def test_two_loose_tensors_are_bare():
    verdict, reading = read({"alpha": tensor(1, 1475), "beta": tensor(1, 1475)})
    assert (verdict.dialect.name, verdict.score, reading.version) == ("bare", 50, 0)


def test_an_averaged_model_is_an_average_and_counts_its_updates():
    verdict, reading = read({"n_averaged": tensor(dtype="int64"), **state_dict(prefix="module.")})
    assert verdict.dialect.name == "bare"
    ema = reading.document["ema"]
    assert list(ema["weights"]) == ["conv.weight", "conv.bias", "head.weight"]
    assert ema["updates"].dtype.name == "int64"
    assert "model" not in reading.document
    assert "ema-only" in codes(reading)


@pytest.mark.parametrize("keys", [("state_dict",), ("model", "state_dict"), ("params",)])
def test_wrappers_of_one_key_are_taken_off(keys):
    value = state_dict(prefix="module.")
    for key in reversed(keys):
        value = {key: value}
    verdict, reading = read(value)
    assert verdict.dialect.name == "bare"
    assert list(reading.document["model"]) == ["conv.weight", "conv.bias", "head.weight"]


def test_a_whole_pickled_module_gives_its_tensors_and_stays_beside_them():
    norm = module("torch.nn.BatchNorm1d", {"weight": tensor(2)}, {"running_mean": tensor(2), "hidden": tensor(5)},
                  non_persistent=["hidden"])  # fmt: skip
    root = module(
        "mine.Net",
        {"scale": tensor(1), "none": None},
        {},
        {"fc": linear(), "bn": norm, "gap": None},
    )
    verdict, reading = read(root)
    assert verdict.dialect.name == "pickled-module"
    model = reading.document["model"]
    assert list(model) == ["scale", "fc.weight", "fc.bias", "bn.weight", "bn.running_mean"]
    assert reading.document["extra"]["module"] is root
    assert "non-persistent-buffers" in codes(reading)


def test_a_module_that_contains_itself_ends():
    root = module("mine.Net", {"scale": tensor(1)})
    root.state["_modules"]["me"] = root
    _, reading = read(root)
    assert "module-too-deep" in codes(reading)


def test_empty_and_foreign_roots_are_kept_whole():
    for root in ({}, [1, 2], "text", None, 3, {1: tensor(2)}):
        verdict, reading = read(root)
        assert verdict.dialect.name == "unknown"
        assert isinstance(reading.document["extra"], MapNode)

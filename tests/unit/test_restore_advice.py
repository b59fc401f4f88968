"""What a refused restore says to do, tried: it is the thing that helps."""

import pytest
import torch

import ckptkit
from ckptkit.errors import MismatchError
from tests.unit.training import network, train


@pytest.fixture
def path(tmp_path):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer)
    ckptkit.save(
        tmp_path / "c", {"model": model, "optimizer": optimizer, "progress": {"epochs": 1}}
    )
    return tmp_path / "c"


def text_of(path, targets, **options):
    with pytest.raises(MismatchError) as caught:
        ckptkit.restore(path, targets, **options)
    return str(caught.value)


def test_averages_that_are_not_there_are_not_called_taken(path):
    model = network(seed=3)
    told = text_of(path, {"model": model}, use="ema")
    assert "the averaged weights were taken instead" not in told
    assert 'use="raw"' in told
    assert "leave" not in told.split("what to do:")[1]
    assert ckptkit.restore(path, {"model": model}, use="raw").ok


def test_a_module_that_is_absent_is_never_called_restored(path):
    model = network()
    targets = {"model": model, "optimizer": torch.optim.AdamW(model.parameters())}
    report = ckptkit.restore(path, targets, use="ema", allow_missing=("model",))
    assert report.component("model").status == "absent"
    assert str(report).split("\n")[0] == "restored in part, as allowed"
    assert "were taken instead" not in str(report)


@pytest.mark.parametrize("name", ["modle", "net", "mdel"])
def test_a_target_of_no_section_is_told_the_one_that_was_meant(name, path):
    told = text_of(path, {name: network()})
    assert "did you mean 'model'?" in told
    assert "{'model': ...} as targets" in told


def test_thousands_of_sections_are_not_all_listed(tmp_path):
    ckptkit.save(tmp_path / "c", {f"part{i}": {"n": i} for i in range(40)})
    assert "and 29 more)" in " ".join(text_of(tmp_path / "c", {"model": network()}).split())


def test_one_tensor_without_memory_is_one_and_no_floor_is_advised(path):
    with torch.device("meta"):
        model = network()
        model[3] = torch.nn.Linear(6, 7)
    told = text_of(path, {"model": model}, on_shape="skip", allow_missing=True)
    assert "2 tensors have no memory" in told
    assert "min_coverage" not in told
    with torch.device("meta"):
        model = network()
        model[3] = torch.nn.Linear(6, 7, bias=False)
    told = text_of(path, {"model": model}, on_shape="skip", allow_unexpected=True)
    assert "1 tensor has no memory (meta device) and nothing fills it" in told


def test_another_optimizer_is_not_advised_the_default(path):
    model = network()
    plan = ckptkit.plan_restore(
        path, {"model": model, "optimizer": torch.optim.SGD(model.parameters(), momentum=0.9)}
    )
    assert "of another kind of optimizer than SGD" in str(plan)
    assert "on_conflict" not in str(plan)

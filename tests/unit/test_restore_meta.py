"""A model on the meta device gets its memory as it is filled, and stays the objects that it was."""

import pytest
import torch
from torch import nn

import ckptkit
from ckptkit.errors import MismatchError


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def equal(left, right):
    one, other = left.state_dict(), right.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def path(tmp_path):
    ckptkit.save(tmp_path / "sealed", {"model": net()})
    return tmp_path / "sealed"


def test_a_meta_model_gets_memory_as_it_is_filled_and_its_optimizer_goes_on(path):
    with torch.device("meta"):
        model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    ckptkit.restore(path, {"model": model})
    assert equal(model, net())
    assert all(p.device.type == "cpu" for p in model.parameters())
    mine = [p for group in optimizer.param_groups for p in group["params"]]
    assert [id(p) for p in mine] == [id(p) for p in model.parameters()]
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()


def test_a_meta_model_keeps_its_ties_and_names_what_is_never_saved(tmp_path):
    def model():
        made = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
        made["head"].weight = made["embed"].weight
        made.register_buffer("cache", torch.ones(2), persistent=False)
        return made

    torch.manual_seed(0)
    stored = model()
    ckptkit.save(tmp_path / "x", {"model": stored})
    with torch.device("meta"):
        live = model()
    report = ckptkit.restore(tmp_path / "x", {"model": live})
    assert live["head"].weight is live["embed"].weight
    assert torch.equal(live["head"].weight, stored["head"].weight)
    assert live.cache.is_meta
    assert any("cache" in note for note in report.component("model").notes)


def test_what_stays_without_memory_on_a_meta_model_is_refused(path):
    with torch.device("meta"):
        model = nn.Sequential(*net(), nn.Linear(2, 2))
    with pytest.raises(MismatchError, match="no memory"):
        ckptkit.restore(path, {"model": model}, allow_missing=True)
    assert all(p.is_meta for p in model.parameters())
    planned = ckptkit.plan_restore(path, {"model": model}, allow_missing=True)
    assert planned.ok
    assert all(p.is_meta for p in model.parameters())


def test_a_weak_reference_to_a_meta_parameter_does_not_stop_it(path):
    import weakref

    with torch.device("meta"):
        model = net()
    weak = weakref.ref(model[0].weight)
    ckptkit.restore(path, {"model": model})
    assert equal(model, net())
    assert weak() is None or weak().is_meta


def test_a_counter_that_old_files_lack_begins_at_zero_on_the_meta_device(tmp_path):
    state = {k: v for k, v in net().state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "x.pt")
    with torch.device("meta"):
        model = net()
    report = ckptkit.restore(tmp_path / "x.pt", {"model": model})
    assert model[1].num_batches_tracked.item() == 0
    assert [line.kind for line in report.component("model").lines] == ["defaulted"]

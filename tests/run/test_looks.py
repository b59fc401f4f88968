"""A look at weights sees every way in which scripts write to them, and nothing where they do not."""

from contextlib import contextmanager

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.utils import parametrizations

from ckptkit.run.looks import Look
from ckptkit.run.moved import Moved


def network(*first):
    torch.manual_seed(0)
    return nn.Sequential(*first, nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def look(model, *, whole=False, gradients=False):
    return Look({"model": model, "n": 0}, whole=whole, gradients=gradients)


def backward(model, x=None):
    model(torch.ones(3, 4) if x is None else x).sum().backward()


# -- what is no write -----------------------------------------------------------------------------


def clipped(model):
    backward(model)
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    nn.utils.clip_grad_value_(model.parameters(), 0.1)
    model.zero_grad(set_to_none=False)
    model.zero_grad()


def accumulated(model):
    for _ in range(3):
        backward(model)


def scaled(model):
    optimizer = torch.optim.SGD(model.parameters())
    scaler = torch.amp.GradScaler("cpu")
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.ones(3, 4)).sum() * float("inf")
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)


def evaluated(model):
    model.eval()
    with torch.inference_mode():
        model(torch.ones(3, 4))
    model.train()


def elsewhere_and_back(model):
    for one in model.parameters():
        one.data = one.data.clone()


def frozen(model):
    model.requires_grad_(requires_grad=False)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "body", [clipped, accumulated, scaled, evaluated, elsewhere_and_back, frozen]
)
def test_what_a_body_does_before_its_step_is_no_write(body, whole):
    model = network()
    noted = look(model, whole=whole)
    body(model)
    assert not noted.written()


def normed(norm):
    model = network()
    norm(model[0])
    return model


@pytest.mark.parametrize(
    "model",
    [
        lambda: network(nn.BatchNorm1d(4)),
        lambda: normed(nn.utils.spectral_norm),
        lambda: normed(parametrizations.spectral_norm),
        lambda: normed(nn.utils.weight_norm),
        lambda: normed(parametrizations.weight_norm),
        lambda: torch.jit.script(network()),
    ],
    ids=["batch-norm", "old-spectral", "spectral", "old-weight", "weight", "script"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_what_a_forward_pass_of_a_norm_moves_is_no_weight(model):
    model = model()
    noted = look(model, whole=True)
    backward(model, torch.rand(3, 4))
    assert not noted.written()


def test_an_embedding_that_keeps_its_norms_writes_to_them_in_every_forward_pass():
    model = nn.Sequential(nn.Embedding(5, 4, max_norm=0.1), nn.Linear(4, 2))
    noted = look(model, whole=True)
    backward(model, torch.tensor([1, 2]))
    assert not noted.written()


@contextmanager
def one_process(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_a_forward_pass_of_several_processes_is_no_write(tmp_path):
    with one_process(tmp_path):
        model = nn.parallel.DistributedDataParallel(network(nn.BatchNorm1d(4)))
        noted = look(model, whole=True)
        backward(model, torch.rand(3, 4))
        backward(model, torch.rand(3, 4))
        assert not noted.written()


# -- what is one ----------------------------------------------------------------------------------


def assigned(model):
    for one in model.parameters():
        one.data = one.data + 1


def copied_by_data(model):
    for one in model.parameters():
        one.data.copy_(one.data + 1)


def copied(model):
    with torch.no_grad():
        model[2].bias.copy_(model[2].bias)


def loaded(model):
    model.load_state_dict(model.state_dict())


def replaced(model):
    model[2].weight = nn.Parameter(model[2].weight.detach())


def replaced_part(model):
    model[2] = nn.Linear(6, 2)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "write", [assigned, copied_by_data, copied, loaded, replaced, replaced_part]
)
def test_every_way_to_write_to_weights_is_seen(write, whole):
    model = network()
    noted = look(model, whole=whole)
    write(model)
    assert noted.written()


def test_of_many_weights_some_are_looked_at_closely_at_a_step_and_all_of_them_if_whole():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(40)))
    few, every = look(model), look(model, whole=True)
    model[1].bias.data.add_(1)  # one of eighty: torch does not count it
    assert (few.written(), every.written()) == (False, True)


def test_gradients_that_wait_count_where_they_are_part_of_the_state():
    model = network()
    backward(model)
    with_them, without = look(model, gradients=True), look(model)
    backward(model)
    assert (with_them.written(), without.written()) == (True, False)


def test_an_average_in_a_list_or_a_large_dict_is_looked_at():
    state = {"list": [torch.zeros(3)], "dict": {n: torch.zeros(3) for n in range(300)}}
    for one in (state["list"][0], state["dict"][7]):
        noted = Look(state, whole=False, gradients=False)
        one.add_(1)
        assert noted.written()


def test_a_counter_that_is_a_tensor_is_put_back_though_it_was_replaced():
    state = {"counts": {"n": torch.zeros(2), "loss": torch.zeros(())}}
    moved, mine = Moved(state), state["counts"]["loss"]
    moved.note(weights=False)
    state["counts"]["n"] += 1
    state["counts"]["loss"] = mine * 0.9 + 1
    assert not moved.weights
    moved.put_back()
    assert state["counts"]["n"].tolist() == [0, 0]
    assert state["counts"]["loss"] is mine


# -- tensors of every kind ------------------------------------------------------------------------


def inference_tensor():
    with torch.inference_mode():
        return torch.ones(300)


def without_memory():
    one = torch.ones(300)
    one.untyped_storage().resize_(0)
    return one


@pytest.mark.parametrize(
    "one",
    [
        lambda: torch.ones(300, device="meta"),
        inference_tensor,
        without_memory,
        lambda: torch.full((300,), float("nan")),
        lambda: torch.ones(300).to(torch.float8_e4m3fn),
        lambda: torch.ones(300, dtype=torch.complex64),
        lambda: torch.ones(300, dtype=torch.bool),
        lambda: torch.ones(300).to_sparse(),
        lambda: torch.zeros(1).expand(300),
        lambda: torch.empty(0, requires_grad=True),
        lambda: torch.ones(3, 4, 10, 10).to(memory_format=torch.channels_last),
        nn.parameter.UninitializedParameter,
    ],
    ids=["meta", "inference", "no-memory", "nan", "float8", "complex", "bool", "sparse", "expanded",
         "empty", "channels-last", "uninitialized"],
)  # fmt: skip
def test_a_tensor_of_any_kind_may_be_looked_at(one):
    one = one()
    noted = Look({"one": [one]}, whole=True, gradients=True)
    assert not noted.written()


def test_a_sharded_tensor_may_be_looked_at(tmp_path):
    from torch.distributed.tensor import Replicate, distribute_tensor

    with one_process(tmp_path):
        mesh = dist.init_device_mesh("cpu", (1,))
        one = nn.Parameter(distribute_tensor(torch.ones(300), mesh, [Replicate()]))
        noted = Look({"one": {"a": one}}, whole=True, gradients=True)
        assert not noted.written()
        with torch.no_grad():
            one.add_(1)
        assert noted.written()


# -- buffers --------------------------------------------------------------------------------------


class Codebook(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("last", torch.zeros(4), persistent=False)

    def forward(self, x):
        self.last.copy_(x.detach().mean(0))
        if self.training:
            self.mean.data.lerp_(self.last, 0.1)
        return x - self.mean


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: network(nn.BatchNorm1d(4)), ["model.0 (BatchNorm1d)"]),
        (lambda: network(Codebook()), ["model.0 (Codebook)"]),
        (lambda: normed(parametrizations.spectral_norm),
         ["model.0.parametrizations.weight.0 (_SpectralNorm)"]),
        (network, []),
    ],
    ids=["batch-norm", "codebook", "spectral", "none"],
)  # fmt: skip
def test_buffers_that_a_forward_pass_moves_are_named(model, told):
    model = model()
    noted = look(model)
    assert noted.moved_buffers() == []
    evaluated(model)
    assert noted.moved_buffers() == []
    backward(model, torch.rand(3, 4))
    assert noted.moved_buffers() == told

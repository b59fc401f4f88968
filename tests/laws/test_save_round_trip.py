"""Law: what save wrote, load gives back: the same tree, the same ties, the same bits."""

import tempfile
import warnings
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import ckptkit
from ckptkit.containers.logical import logical_source
from ckptkit.nodes import TensorNode
from ckptkit.testing import strategies as our
from ckptkit.torch_bridge.capture import capture_state
from ckptkit.tree import first_difference, walk
from tests.unit.saved_values import bytes_of, restored, same_tensor, save_plain

THOROUGH = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.float8_e4m3fn,
    torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64,
)  # fmt: skip


@st.composite
def bases(draw):
    """A contiguous tensor of any bits."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    count = torch.Size(shape).numel()
    raw = draw(st.binary(min_size=(count or 1) * 16, max_size=(count or 1) * 16))
    if dtype is torch.bool:
        raw = bytes(byte & 1 for byte in raw)
    return torch.frombuffer(bytearray(raw), dtype=dtype)[:count].reshape(shape).clone()


VIEWS = {
    "itself": lambda t: t,
    "transposed": lambda t: t.transpose(0, -1),
    "expanded": lambda t: t[:1].expand(3, *t.shape[1:]) if len(t) else t,
    "stepped": lambda t: t[::2],
    "tail": lambda t: t[1:],
    "last column": lambda t: t[..., -1:] if t.shape[-1] else t,
    "one more axis": lambda t: t.unsqueeze(-1),
    "conjugated": lambda t: t.conj() if t.is_complex() else t,
    "imaginary": lambda t: t.conj().imag if t.is_complex() else t,
    "parameter": lambda t: torch.nn.Parameter(t, requires_grad=t.is_floating_point()),
    "frozen": lambda t: torch.nn.Parameter(t, requires_grad=False),
    "meta": lambda t: t.to("meta"),
}


@st.composite
def states(draw):
    """Sections of plain data and of views into a few shared tensors."""
    pool = draw(st.lists(bases(), min_size=1, max_size=3))
    view = st.builds(
        lambda t, kind: VIEWS[kind](t), st.sampled_from(pool), st.sampled_from(sorted(VIEWS))
    )
    section = st.one_of(
        our.states(max_leaves=8),
        st.dictionaries(st.text(max_size=4).filter(str.isprintable), view, max_size=5),
        st.lists(view, max_size=3),
    )
    names = st.sampled_from(["model", "ema", "optimizer", "rng", "extra", "mine"])
    return draw(st.dictionaries(names, section, max_size=4))


@THOROUGH
@given(states())
def test_what_was_saved_is_what_is_loaded(state):
    document = capture_state(state).document
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "c")
        save_plain(path, state)
        assert ckptkit.verify(path).verdict == "verified"
        with ckptkit.load(path) as checkpoint:
            assert list(checkpoint.document) == list(document)
            for name, section in document.items():
                again = checkpoint.document[name]
                place = first_difference(section, again, same_tensor, same_aliases=True)
                assert place is None, (name, place)


@THOROUGH
@given(states())
def test_what_shared_its_bytes_shares_them_again_and_nothing_else_does(state):
    def ties(document):
        numbers, found = {}, []
        for _, node in walk(document):
            if isinstance(node, TensorNode) and node.flavour != "meta":
                found.append(numbers.setdefault(node.same_view(), len(numbers)))
        return found

    before = ties(capture_state(state).document)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "c")
        report = save_plain(path, state)
        with ckptkit.load(path) as checkpoint:
            assert ties(checkpoint.document) == before
    assert report.tensors >= len(set(before))


@st.composite
def modules(draw):
    """Small modules with ties, buffers, frozen parts and versions."""
    width = draw(st.integers(1, 5))
    kinds = {
        "linear": lambda: torch.nn.Linear(width, width),
        "norm": lambda: torch.nn.BatchNorm1d(width),
        "conv": lambda: torch.nn.Conv2d(width, width, 1).to(memory_format=torch.channels_last),
        "half": lambda: torch.nn.Linear(width, width).to(torch.bfloat16),
        "weight_norm": lambda: torch.nn.utils.parametrizations.weight_norm(
            torch.nn.Linear(width, width)
        ),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=4))
    model = torch.nn.ModuleList([kinds[kind]() for kind in chosen])
    linear = [m for m, kind in zip(model, chosen, strict=True) if kind == "linear"]
    if len(linear) > 1 and draw(st.booleans()):
        linear[-1].weight = linear[0].weight
    for parameter in model.parameters():
        parameter.requires_grad_(draw(st.booleans()))
    return model


@THOROUGH
@given(modules())
def test_the_official_library_reads_what_load_state_dict_takes(model):
    expected = model.state_dict()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder, "c")
        save_plain(path, {"model": model})
        stored, again = {}, restored(path)["model"]
        for file in sorted(path.glob("*.safetensors")):
            stored |= load_file(file)
    assert list(again) == list(expected)
    for name, value in expected.items():
        assert torch.equal(again[name], value)
        if name in stored:
            assert torch.equal(stored[name], value)
    model.load_state_dict(again, strict=True)
    missing = model.load_state_dict(stored, strict=False).missing_keys
    tied = [name for name in expected if name not in stored]
    assert sorted(missing) == sorted(tied)


@THOROUGH
@given(modules(), st.sampled_from(["AdamW", "SGD", "RMSprop", "Adagrad", "NAdam", "Rprop"]))
def test_a_saved_optimizer_goes_on_as_its_own_state_dict_would(model, name):
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        return
    options = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(torch.optim, name)(trained, lr=0.1, **options)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "c")
        save_plain(path, {"model": model, "optimizer": optimizer})
        again = restored(path)["optimizer"]

    def gone_on(state):
        twins = [torch.nn.Parameter(p.detach().clone()) for p in trained]
        other = getattr(torch.optim, name)(twins, lr=0.5, **options)
        other.load_state_dict(state)
        for twin in twins:
            twin.grad = torch.full_like(twin, 0.25)
        other.step()
        return twins

    for one, twin in zip(gone_on(again), gone_on(optimizer.state_dict()), strict=True):
        assert torch.equal(one, twin)


@THOROUGH
@given(bases(), st.integers(0, 40), st.integers(0, 40))
def test_every_window_of_a_gathered_view_is_the_same_bytes(base, start, length):
    for kind in ("transposed", "stepped", "expanded"):
        node = capture_state({"t": VIEWS[kind](base)}).document["t"]
        whole, source = bytes_of(node), logical_source(node)
        start, stop = min(start, len(whole)), min(start + length, len(whole))
        out = bytearray(stop - start)
        source.read_into(start, memoryview(out))
        assert bytes(out) == whole[start:stop]

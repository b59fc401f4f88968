"""Laws: what is exported comes back, tensor by tensor to the bit, and torch opens what we wrote."""

import pathlib
import tempfile

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptkit.containers.logical import logical_source
from ckptkit.errors import UnrepresentableError
from ckptkit.nodes import TensorNode
from ckptkit.testing.strategies import nodes
from ckptkit.tree import walk
from ckptkit.verbs.diff import DiffOptions, diff
from ckptkit.verbs.export import ExportOptions, export
from ckptkit.verbs.exporting.torch_file import plan_torch
from ckptkit.verbs.exporting.writing import write
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
OTHERS = (
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
)
NEW = (torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2)


@st.composite
def tensors(draw, dtypes=FLOATS + OTHERS + NEW):
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    numel = 1
    for size in shape:
        numel *= size
    raw = draw(st.binary(min_size=(numel + 1) * 8, max_size=(numel + 1) * 8))
    if dtype is torch.bool:
        raw = bytes(byte & 1 for byte in raw)
    made = torch.frombuffer(bytearray(raw), dtype=dtype)[:numel].reshape(shape).clone()
    kind = draw(st.sampled_from(["plain", "transposed", "slice", "parameter"]))
    if kind == "transposed" and made.ndim >= 2:
        return made.transpose(0, 1)
    if kind == "slice" and made.ndim and made.shape[0] > 1:
        return made[1:]
    if kind == "parameter" and dtype in FLOATS:
        return torch.nn.Parameter(made)
    return made


names = st.text("abc.01_", min_size=1, max_size=8).filter(lambda name: name.strip("."))


@st.composite
def state_dicts(draw):
    """Names and tensors, some of them tied."""
    state = draw(st.dictionaries(names, tensors(), min_size=1, max_size=5))
    if draw(st.booleans()):
        state["tied.weight"] = next(iter(state.values()))
    return state


def same_bits(one, other):
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    left, right = (x.detach().contiguous().view(-1) for x in (one, other))
    if one.numel():
        assert torch.equal(left.view(torch.uint8), right.view(torch.uint8))


@settings(max_examples=60, deadline=None)
@given(state=state_dicts(), sealed=st.booleans(), form=st.sampled_from(["torch", "safetensors"]))
def test_every_tensor_comes_back_from_every_form_by_digest(state, sealed, form):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        torch.save({"model": state, "epoch": 3, "optimizer": {}}, folder / "x.pt")
        source = folder / "x.pt"
        if sealed:
            source = migrate(source, folder / "sealed").target
        options = ExportOptions(to=form, sections=("model",))
        report = export(source, folder / "out", options)
        assert report.proved
        # A file of weights by itself may have a prefix that all names share; the bytes are equal.
        with load(folder / "x.pt") as one, load(folder / "out") as other:
            ours = sorted((t.dtype, t.shape, t.read()) for t in one.tensors("model"))
            assert ours == sorted((t.dtype, t.shape, t.read()) for t in other.stored_tensors())
        migrated = migrate(folder / "out", folder / "again")
        assert migrated.proved


@settings(max_examples=60, deadline=None)
@given(state=state_dicts())
def test_torch_opens_what_was_exported_with_ties_tied_and_parameters_as_such(state):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        torch.save({"model": state, "epoch": 3, "optimizer": {}}, folder / "x.pt")
        export(folder / "x.pt", folder / "out.pt", ExportOptions(to="torch"))
        loaded = torch.load(folder / "out.pt", weights_only=True)
        with load(folder / "x.pt") as checkpoint:
            known = {t.path[-1] for t in checkpoint.tensors("model")}
        assert set(loaded["model"]) == known
        if set(known) == set(state):
            for key, value in state.items():
                same_bits(loaded["model"][key], value)
                assert type(loaded["model"][key]) is type(value)
            tied = loaded["model"].get("tied.weight")
            if tied is not None and tied.numel():
                first = loaded["model"][next(iter(state))]
                assert first.data_ptr() == tied.data_ptr()
        assert diff(folder / "x.pt", folder / "out.pt", DiffOptions(verify=True)).same


@settings(max_examples=150, deadline=None)
@given(tree=nodes(12))
def test_any_tree_becomes_a_file_that_the_restricted_unpickler_opens(tree):
    """Cycles, aliases, odd keys and objects included: what is no plain data is left out and told."""
    for _, node in walk(tree):
        if isinstance(node, TensorNode):
            node.rule = None  # that breaking one is an error is no matter of exports
    with tempfile.TemporaryDirectory() as name:
        target = pathlib.Path(name) / "out.pt"
        try:
            plan = plan_torch({"model": tree}, target.name, alone=True)
        except UnrepresentableError:
            return  # a tuple inside itself
        readable = [node for _, node in walk(plan.outputs[0].tree) if isinstance(node, TensorNode)]
        assert all(
            t.storage.source is None or logical_source(t).nbytes == t.nbytes for t in readable
        )
        write(plan, target, ExportOptions(to="torch"))  # proves itself by reading back
        torch.load(target, weights_only=True)

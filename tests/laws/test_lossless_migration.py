"""Law: whatever torch.save wrote, every leaf of it is in the sealed folder, to the bit."""

import datetime as dt
import pathlib
import tempfile
from collections import OrderedDict, defaultdict

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptkit.containers.logical import logical_source
from ckptkit.nodes import BlobNode, MapNode, Record, SeqNode, TensorNode
from ckptkit.tree import equal, resolve, walk
from ckptkit.verbs.accounting import MoveBook, account_for
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load

DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.uint16,
)  # fmt: skip


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    numel = max(1, int(np.prod(shape)))
    raw = draw(st.binary(min_size=numel * 16, max_size=numel * 16))
    if dtype is torch.bool:
        raw = bytes(byte & 1 for byte in raw)
    flat = torch.frombuffer(bytearray(raw), dtype=dtype)[: int(np.prod(shape))]
    tensor = flat.reshape(shape).clone()
    kind = draw(st.sampled_from(["plain", "transposed", "slice", "parameter"]))
    if kind == "transposed" and tensor.ndim >= 2:
        return tensor.transpose(0, 1)
    if kind == "slice" and tensor.ndim and tensor.shape[0] > 1:
        return tensor[1:]
    if kind == "parameter" and dtype.is_floating_point and dtype is not torch.float8_e4m3fn:
        return torch.nn.Parameter(tensor)
    return tensor


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=8),
    st.complex_numbers(), st.just(dt.datetime(2026, 11, 22, 3, 0, 1, 5, tzinfo=dt.UTC)), st.just(pathlib.PurePosixPath("/runs/a")),
    st.sampled_from([torch.float32, torch.Size([2, 3]), torch.device("cpu"), np.float64(0.5)]),
    st.builds(lambda n: np.arange(n, dtype="<f4"), st.integers(0, 5)),
)  # fmt: skip
keys = st.one_of(
    st.sampled_from(["model", "state_dict", "optimizer", "epoch", "step", "best_loss", "ema", "config", "a.b", "a", "__metadata__"]),
    st.text(max_size=5), st.integers(0, 5),
)  # fmt: skip
states = st.recursive(
    st.one_of(scalars, tensors()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner, max_size=5),
        st.dictionaries(keys, inner, max_size=3).map(OrderedDict),
        st.dictionaries(keys, inner, max_size=3).map(lambda d: defaultdict(list, d)),
        st.dictionaries(st.text(max_size=5), tensors(), min_size=1, max_size=4),
    ),
    max_leaves=12,
)


def bytes_of(tensor):
    data = bytearray(tensor.nbytes)
    if data:
        logical_source(tensor).read_into(0, memoryview(data))
    return bytes(data)


def same_tensor(one, other):
    return bytes_of(one) == bytes_of(other)


@settings(max_examples=120, deadline=None)
@given(state=st.dictionaries(keys, states, max_size=5), legacy=st.booleans(), tie=st.booleans())
def test_every_leaf_is_where_the_report_says_and_the_same(state, legacy, tie):
    if tie and state:
        state["tied"] = next(iter(state.values()))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        torch.save(state, folder / "x.pt", _use_new_zipfile_serialization=not legacy)
        report = migrate(folder / "x.pt", folder / "out")
        assert report.proved
        assert all(row.target is not None for row in report.placed)
        with load(folder / "x.pt") as source, load(folder / "out") as sealed:
            book = MoveBook(source.moves)
            leaves = 0
            for path, node in walk(source.opened.root):
                if isinstance(node, (MapNode, SeqNode, Record, BlobNode)):
                    continue
                again = resolve(sealed.document, book.find(path)[0])
                assert equal(node, again, same_tensor), path
                leaves += 1
            assert leaves <= len(report.placed)


def test_a_dialect_that_forgets_a_key_is_found_out(tmp_path):
    torch.save({"model": {"w": torch.ones(2)}, "epoch": 3}, tmp_path / "x.pt")
    with load(tmp_path / "x.pt") as checkpoint:
        kept = [move for move in checkpoint.moves if move.source != ("epoch",)]
        rows = list(account_for(checkpoint.opened.root, checkpoint.document, kept))
    assert [row.source for row in rows if row.target is None] == [("epoch",)]


def test_a_value_that_changed_on_the_way_is_found_out(tmp_path):
    torch.save({"model": {"w": torch.ones(2)}, "epoch": 3}, tmp_path / "x.pt")
    with load(tmp_path / "x.pt") as checkpoint:
        checkpoint.opened.root["epoch"] = 4
        rows = list(account_for(checkpoint.opened.root, checkpoint.document, checkpoint.moves))
    assert [row.source for row in rows if row.target is None] == [("epoch",)]


def test_ties_are_stored_once_and_come_back_tied(tmp_path):
    weight = torch.randn(3, 3)
    torch.save({"a.weight": weight, "b.weight": weight, "c": weight.t()}, tmp_path / "x.pt")
    migrate(tmp_path / "x.pt", tmp_path / "out")
    with load(tmp_path / "out") as sealed:
        model = sealed.document["model"]
        assert model["a.weight"].storage is model["b.weight"].storage
        assert isinstance(model["c"], TensorNode)
        shared = sealed.sealed.manifest.tensors.shared
        assert [[row for row, _ in group.views] for group in shared] == [[0, 1]]


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 3)
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def test_the_official_library_loads_a_tied_model(tmp_path):
    from safetensors.torch import load_model

    torch.save(Tied().state_dict(), tmp_path / "x.pt")
    migrate(tmp_path / "x.pt", tmp_path / "out")
    fresh = Tied()
    missing, unexpected = load_model(fresh, tmp_path / "out" / "model.safetensors")
    assert (set(missing), unexpected) == (set(), [])
    assert torch.equal(fresh.head.weight, torch.load(tmp_path / "x.pt")["embed.weight"])

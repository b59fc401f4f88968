"""The pickle machine agrees with torch.load on everything that torch accepts."""

import argparse
import collections
import datetime as dt
import decimal
import fractions
import inspect
import pathlib
import random
import re
import uuid
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from ckptkit.verbs.open import open_container
from tests.laws.agreement import agree

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
WRITERS = {
    **{f"zip-{protocol}": {"pickle_protocol": protocol} for protocol in (2, 3, 4, 5)},
    **{
        f"legacy-{p}": {"pickle_protocol": p, "_use_new_zipfile_serialization": False}
        for p in (2, 4)
    },
}


@contextmanager
def written(value, folder, **options):
    """A file that torch wrote, opened by ckptkit, beside what torch itself reads from it."""
    path = folder / "state.pt"
    torch.save(value, path, **options)
    opened = open_container(path)
    try:
        try:
            live = torch.load(path, weights_only=False)
        except (
            AttributeError
        ):  # torch writes untyped storages into legacy files, and cannot read them
            assert options.get("_use_new_zipfile_serialization") is False
            live = value
        yield opened.root, live
    finally:
        opened.close()


def assert_agrees(value, folder, **options):
    with written(value, folder, **options) as (node, live):
        return agree(node, live)


# -- optimizers and schedulers --------------------------------------------------------------------

OPTIMIZERS = {
    name: cls for name, cls in vars(torch.optim).items()
    if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer) and cls is not torch.optim.Optimizer
}  # fmt: skip
SCHEDULER_ARGS = {
    "LambdaLR": {"lr_lambda": lambda epoch: 0.9**epoch}, "MultiplicativeLR": {"lr_lambda": lambda epoch: 0.9**epoch}, "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [1, 3]}, "ConstantLR": {}, "LinearLR": {}, "ExponentialLR": {"gamma": 0.9},
    "PolynomialLR": {}, "CosineAnnealingLR": {"T_max": 5}, "ReduceLROnPlateau": {},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.2}, "CosineAnnealingWarmRestarts": {"T_0": 3},
    "OneCycleLR": {"max_lr": 0.2, "total_steps": 9},
}  # fmt: skip
COMPOUND = ("SequentialLR", "ChainedScheduler")


def stepped(optimizer, model):
    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(2, 3)).pow(2).sum()
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    return optimizer


def make_optimizer(cls):
    torch.manual_seed(0)
    if cls is torch.optim.SparseAdam:
        model = torch.nn.Embedding(4, 3, sparse=True)
        optimizer = cls(model.parameters())
        for _ in range(2):
            model(torch.tensor([1, 2])).sum().backward()
            optimizer.step()
        return optimizer
    model = torch.nn.Linear(3, 4, bias=False)
    extra = {"differentiable": False} if cls is torch.optim.Adam else {}
    return stepped(cls(model.parameters(), **extra), model)


@pytest.mark.parametrize("writer", ["zip-2", "zip-5", "legacy-2"])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer(name, writer, tmp_path):
    optimizer = make_optimizer(OPTIMIZERS[name])
    assert assert_agrees(optimizer.state_dict(), tmp_path, **WRITERS[writer]) > 10


def test_the_optimizer_itself_is_a_record(tmp_path):
    with written({"optimizer": make_optimizer(torch.optim.SGD)}, tmp_path) as (node, live):
        record = node["optimizer"]
        assert record.name.text == "torch.optim.sgd.SGD"
        assert agree(record.state["param_groups"], live["optimizer"].param_groups) > 5


def test_every_scheduler_has_a_case():
    classes = {
        name for name, cls in vars(lr_scheduler).items()
        if inspect.isclass(cls) and issubclass(cls, lr_scheduler.LRScheduler) and not name.startswith("_")
    }  # fmt: skip
    assert classes - {"LRScheduler"} == set(SCHEDULER_ARGS) | set(COMPOUND)


@pytest.mark.parametrize("name", sorted(SCHEDULER_ARGS))
def test_every_scheduler(name, tmp_path):
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1, momentum=0.9)
    scheduler = getattr(lr_scheduler, name)(optimizer, **SCHEDULER_ARGS[name])
    for _ in range(3):
        optimizer.step()
        scheduler.step(*([0.5] if name == "ReduceLROnPlateau" else []))
    for options in WRITERS.values():
        assert assert_agrees(scheduler.state_dict(), tmp_path, **options) > 3


@pytest.mark.parametrize("name", COMPOUND)
def test_schedulers_of_schedulers(name, tmp_path):
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1)
    parts = [lr_scheduler.ConstantLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    whole = (
        lr_scheduler.SequentialLR(optimizer, parts, milestones=[2])
        if name == "SequentialLR"
        else lr_scheduler.ChainedScheduler(parts, optimizer)
    )
    optimizer.step()
    whole.step()
    assert assert_agrees(whole.state_dict(), tmp_path) > 3


def test_gradient_scaler_and_averaged_model(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    average.update_parameters(model)
    state = {
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "ema": average.state_dict(),
        "model": model.state_dict(),
    }
    for options in WRITERS.values():
        assert assert_agrees(state, tmp_path, **options) > 20


# -- tensors ---------------------------------------------------------------------------------------

DTYPES = sorted(
    {str(v).removeprefix("torch.") for v in vars(torch).values() if isinstance(v, torch.dtype)}
)
BIT_SHELLS = ("bits1x8", "bits2x4", "bits4x2", "bits8", "bits16")
QUANTIZED = ("qint8", "quint8", "qint32", "quint4x2", "quint2x4")


def of_dtype(name, shape=(3, 4)):
    dtype = getattr(torch, name)
    numel = int(np.prod(shape))
    if dtype is torch.bool:
        return torch.arange(numel).reshape(shape) % 3 == 0
    raw = torch.arange(numel * dtype.itemsize, dtype=torch.int64).mul(37).to(torch.uint8)
    return raw.view(dtype).reshape(shape)


@pytest.mark.parametrize("name", [name for name in DTYPES if name not in QUANTIZED])
def test_every_dtype(name, tmp_path):
    if name.startswith(("int", "uint")) and int(name.lstrip("uint")) < 8:
        value = {
            "dtype": getattr(torch, name)
        }  # a shell dtype: torch cannot even make a tensor of one
    else:
        value = {
            "t": of_dtype(name),
            "tail": of_dtype(name)[1:],
            "turned": of_dtype(name).t(),
            "empty": of_dtype(name, (0, 3)),
        }
    for options in WRITERS.values():
        with written(value, tmp_path, **options) as (node, live):
            assert agree(node, live) >= 2


def test_views_ties_and_flags(tmp_path):
    base = torch.arange(24.0).reshape(2, 3, 4)
    shared = torch.arange(6.0)
    value = {
        "base": base, "permuted": base.permute(2, 0, 1), "slice": base[:, 1, ::2], "offset": base.flatten()[5:9],
        "expanded": torch.ones(1, 3).expand(5, 3), "zero-d": torch.tensor(1.5), "empty": torch.zeros(0, 3),
        "tied": [shared, shared, shared[2:]], "conj": torch.complex(shared, shared).conj(),
        "neg": torch.complex(shared, shared).conj().imag, "grad": torch.ones(2, requires_grad=True),
        "parameter": torch.nn.Parameter(base), "frozen": torch.nn.Parameter(shared, requires_grad=False),
        "meta": torch.empty(3, 4, device="meta"), "channels": torch.ones(1, 2, 3, 3).to(memory_format=torch.channels_last),
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
    }  # fmt: skip
    value["noted"] = torch.ones(3)
    value["noted"].note = {"who": "me"}
    for options in WRITERS.values():
        assert assert_agrees(value, tmp_path, **options) > 20


def test_sparse_tensors_of_all_layouts(tmp_path):
    dense = torch.zeros(4, 6)
    dense[0, 1], dense[2, 3], dense[3, 5] = 1.0, 2.0, 3.0
    value = {
        "coo": dense.to_sparse(), "uncoalesced": torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2.0], (2, 2)),
        "hybrid": torch.sparse_coo_tensor([[0, 2]], torch.ones(2, 3), (4, 3)), "none": torch.zeros(2, 3).to_sparse(),
        "csr": dense.to_sparse_csr(), "csc": dense.to_sparse_csc(), "bsr": dense.to_sparse_bsr((2, 3)),
        "bsc": dense.to_sparse_bsc((2, 2)), "batch": torch.stack([dense, dense]).to_sparse_csr(),
    }  # fmt: skip
    for options in WRITERS.values():
        assert assert_agrees(value, tmp_path, **options) > 30


def test_quantized_tensors(tmp_path):
    base = torch.linspace(-1, 1, 12).reshape(3, 4)
    scales, zeros = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 1, 2])
    value = {
        **{
            name: torch.quantize_per_tensor(base, 0.1, 3, getattr(torch, name))
            for name in ("qint8", "quint8", "qint32")
        },
        "channel": torch.quantize_per_channel(base, scales, zeros, 0, torch.qint8),
        "float-channel": torch.quantize_per_channel(base, scales, zeros.float(), 0, torch.quint8),
    }
    for options in WRITERS.values():
        assert assert_agrees(value, tmp_path, **options) > 10


@pytest.mark.parametrize("protocol", range(2, 6))
def test_tensors_that_plain_pickle_wrote(protocol):
    import pickle

    from ckptkit.containers.pickle_vm import read_pickle
    from ckptkit.containers.trace import Tracer
    from ckptkit.types import DEFAULT_LIMITS

    value = {
        "w": torch.arange(6.0).reshape(2, 3).t(),
        "e": of_dtype("float8_e4m3fn"),
        "p": torch.nn.Parameter(torch.ones(2)),
    }
    data = pickle.dumps(value, protocol)
    tracer = Tracer("plain")
    node = read_pickle(data, stream="plain", tracer=tracer, limits=DEFAULT_LIMITS).value
    assert agree(node, value) > 5
    harmless = [use.harmless for use in tracer.scan().uses if use.qualname == "_load_from_bytes"]
    assert harmless == [True]


# -- everything else -------------------------------------------------------------------------------


def everything_else(protocol):
    zone = dt.timezone(dt.timedelta(hours=2), "x")
    ordered = collections.OrderedDict(a=1, b=[2])
    ordered.note = "kept"
    loop = [1]
    loop.append(loop)
    record = np.zeros(
        2, dtype=[("a", "<i4"), ("b", ">f8"), ("c", "<f4", (2, 2)), ("d", [("e", "S3")])]
    )
    grid = np.arange(12, dtype=np.float32).reshape(3, 4)
    return {
        "scalars": [None, True, False, 0, -1, 255, 256, 65536, 2**31, -(2**31), 2**63, -(2**100), 2**2040, 1.5, -0.0, 1e308],
        "odd floats": [float("inf"), float("nan"), 5e-324], "complex": 1 - 2j,
        "text": ["", "é", "\U0001f600", "a\0b", "\n", "\ud800", "x" * 70_000], "bytes": [b"", b"\x00\xff" * 200, bytearray(b"xy")],
        "sets": [{1, "a", b"b", 2.5}, frozenset({3}), set()], "nested": ((1, (2, [3, {"k": (4,)}])), [], {}, ()),
        "keys": {1: "a", 2.5: "b", None: "c", (1, 2): "d", False: "e", b"x": "f"},
        "collections": [collections.Counter("abca"), collections.deque([1, 2], maxlen=5), collections.deque([3]),
                        collections.defaultdict(list, {"a": [1]}), ordered],
        "ranges": [range(3), slice(1, None, 2), ..., NotImplemented],
        "paths": [pathlib.PurePosixPath("/a/b"), pathlib.Path("run/1"), pathlib.PureWindowsPath("C:\\x\\y"), pathlib.PureWindowsPath("C:\\"), pathlib.PureWindowsPath("\\\\a\\b\\c"), pathlib.PurePosixPath("/"), pathlib.Path()],
        "times": [dt.datetime(2024, 1, 2, 3, 4, 5, 6, zone, fold=1), dt.datetime(1, 1, 1),  # noqa: DTZ001 (naive times are stored too)
                  dt.date(2024, 1, 2),
                  dt.timedelta(3, 4, 5), dt.time(1, 2, 3, 4, fold=1), zone, dt.UTC],
        "numbers": [decimal.Decimal("1.50"), decimal.Decimal("-Infinity"), fractions.Fraction(-1, 3), uuid.UUID(int=5)],
        "torch": [torch.float32, torch.strided, torch.per_channel_affine, torch.Size([2, 3]), torch.device("cuda", 1),
                  torch.device("cpu")],
        "arrays": [grid, np.asfortranarray(grid), grid.T, grid[:, 1:3], grid.astype(">f4"), np.array(5.0), np.zeros((0, 3)), grid > 3,
                   grid.astype(np.complex128), np.array(["ab", "c"]), np.array([b"ab"]), record, np.zeros(2, "V5"),
                   np.array(["2024-01-02T03"], "M8[25s]"), np.array([5], "m8[ns]"), np.arange(3, dtype=np.uint16),
                   np.arange(3, dtype=np.longdouble), np.array([1, "a", None, [2]], dtype=object)],
        "numpy": [np.float64(1.5), np.float32("nan"), np.int8(3), np.bool_(True), np.str_("é"), np.bytes_(b"x"), np.datetime64("2024-01-02"),
                  np.dtype("f4"), np.dtype(">i8"), record.dtype, record[0], np.dtype(("f4", (2, 3)))],
        "random": [random.getstate(), np.random.RandomState(3).get_state(), np.random.default_rng(3).bit_generator.state],
        "formats": [torch.channels_last, torch.preserve_format] if protocol >= 4 else [],  # torch cannot pickle them below
        "loop": loop, "namespace": argparse.Namespace(lr=0.1, betas=(0.9, 0.99)), "enum": re.DOTALL,
        "functions": [torch.nn.functional.relu, torch.optim.AdamW, len, dict],
    }  # fmt: skip


@pytest.mark.parametrize("writer", sorted(WRITERS))
def test_everything_else_in_torch_files(writer, tmp_path):
    assert assert_agrees(everything_else(int(writer[-1])), tmp_path, **WRITERS[writer]) > 150


@pytest.mark.parametrize("protocol", range(6))
def test_everything_else_in_plain_pickles_of_all_protocols(protocol, tmp_path):
    import pickle

    data = pickle.dumps(everything_else(protocol), protocol)
    (tmp_path / "x.pkl").write_bytes(data)
    opened = open_container(tmp_path / "x.pkl")
    assert agree(opened.root, pickle.loads(data)) > 150
    opened.close()


def test_a_storage_that_was_saved_by_itself_is_a_record_of_its_bytes(tmp_path):
    from ckptkit.nodes import Record
    from tests.laws.agreement import bytes_of

    tensor, alone = torch.arange(4.0), torch.ones(3)
    value = {
        "bytes": alone.untyped_storage(),
        "typed": tensor.storage(),
        "t": tensor,
        "u": tensor[1:],
    }
    for options in WRITERS.values():
        with written(value, tmp_path, **options) as (node, _):
            assert type(node["bytes"]) is type(node["typed"]) is Record
            assert bytes_of(node["bytes"].args[0]) == alone.numpy().tobytes()
            assert bytes_of(node["typed"].args[0]) == tensor.numpy().tobytes()
            assert node["typed"].name.text == "torch.FloatStorage"
            assert node["t"].storage is node["u"].storage is node["typed"].args[0].storage

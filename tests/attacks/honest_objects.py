"""Everything else that people put into checkpoints: objects, numpy, modules without their class."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import decimal
import fractions
import pathlib
import pickle
import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.attacks.case import Built, Case
from tests.attacks.honest_expect import Maker, expected, honest, quiet, saved, throw_away

SOURCE = """
import collections, enum
import torch

class Config:
    def __init__(self, **values):
        self.__dict__.update(values)
    class Inner:
        pass

class Slotted:
    __slots__ = ("a", "b")

class Reduced:
    def __init__(self, a):
        self.a = a
    def __reduce__(self):
        return (Reduced, (self.a,), {"b": 5})
    def method(self):
        return 5

class Modèle:
    pass

class Mapping(dict):
    pass

class Listing(list):
    pass

class Text(str):
    pass

class Number(int):
    pass

class Colour(enum.Enum):
    RED = 1

class Level(enum.IntEnum):
    HIGH = 3

class Flags(enum.Flag):
    A = 1
    B = 2

Point = collections.namedtuple("Point", "x y")

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)])
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.arange(3), persistent=False)
        self.act = torch.nn.functional.relu
        self.config = Config(width=4)

class Tagged(torch.Tensor):
    pass
"""


def _python() -> dict[str, Maker]:
    utc = dt.UTC
    weight = {"weight": torch.arange(3.0)}
    recursive: list[Any] = [1]
    recursive.append(recursive)
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    rows: dict[str, Any] = {
        "namespace": argparse.Namespace(lr=0.1, betas=(0.9, 0.99), name="x"),
        "paths": [pathlib.PurePosixPath("/a/b"), pathlib.Path("run/1"), pathlib.PureWindowsPath("C:\\x")],
        "times": [dt.datetime(2024, 1, 2, 3, 4, 5, 6, utc), dt.date(2024, 1, 2), dt.timedelta(3, 4),
                  dt.time(1, 2), dt.timezone(dt.timedelta(hours=2), "x")],
        "defaultdict": collections.defaultdict(list, {"a": [1]}),
        "defaultdict-of-defaultdict": collections.defaultdict(dict, {"a": {}}),
        "collections": [collections.Counter("abca"), collections.deque([1, 2], maxlen=5), collections.OrderedDict(a=1)],
        "chainmap": collections.ChainMap({"a": 1}),
        "sets": [{1, 2}, frozenset({3}), set(), {(1, 2)}],
        "bytes": [b"", b"\x80\x02N.", bytearray(b"xyz"), memoryview],
        "numbers": [2**31, -(2**31), 2**63, -(2**100), 1e308, -0.0, float("nan"), float("inf"), 1 + 2j, True, None, ...],
        "decimals": [decimal.Decimal("1.50"), fractions.Fraction(1, 3), uuid.UUID(int=5)],
        "ranges": [range(3), slice(1, None, 2), NotImplemented],
        "strings": ["", "é", "\U0001f600", "a\0b", "\n", "x" * 70_000],
        "keys": {1: "a", 2.5: "b", None: "c", (1, 2): "d", -3: "e", b"x": "f", frozenset({1}): "g"},
        "cycle": recursive,
        "deep": deep,
        "types": [torch.float32, torch.float, torch.strided, torch.per_tensor_affine, torch.Size([2, 3]),
                  torch.device("cuda", 1), torch.device("cpu"), torch.int8],
        "functions": [torch.relu, torch.nn.functional.gelu, torch.optim.AdamW, torch.nn.LayerNorm, len, dict, int],
        "random": random.getstate(),
        "random-object": random.Random(5),
        "torch-generator": torch.Generator().get_state(),
        "ordered-attribute": _ordered(),
        "exception": ValueError("loss is NaN"),
        "empty": {},
    }  # fmt: skip
    return {f"python-{name}": lambda v=value: {"x": v, **weight} for name, value in rows.items()}


def _ordered() -> collections.OrderedDict[str, Any]:
    state = torch.nn.BatchNorm1d(3).state_dict()
    state["_extra_state"] = {"version": 2}
    return state


def _numpy() -> dict[str, Maker]:
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    record = np.zeros(2, dtype=[("a", "<i4"), ("b", "<f8")])
    rows: dict[str, Any] = {
        "array": base, "fortran": np.asfortranarray(base), "transposed": base.T, "slice": base[:, 1:3],
        "big-endian": base.astype(">f4"), "zero-d": np.array(5.0), "empty": np.zeros((0, 3)),
        "scalars": [np.float64(1.5), np.float32(2), np.int64(3), np.bool_(True), np.uint8(7), np.float16(0.5)],
        "complex": base.astype(np.complex128), "bool": base > 3, "unsigned": base.astype(np.uint16),
        "text": np.array(["ab", "c"]), "bytes": np.array([b"ab", b"c"]), "datetime": np.array(["2024-01-02"], dtype="M8[D]"),
        "record": record, "void": np.zeros(2, dtype="V5"), "longdouble": np.arange(3, dtype=np.longdouble),
        "objects": np.array([1, "a", None, [2]], dtype=object), "dtype": [np.dtype("f4"), np.dtype("i8"), np.float32],
        "state": np.random.get_state(), "random-state": np.random.RandomState(3),  # noqa: NPY002 (what people store)
        "generator": np.random.default_rng(3), "masked": np.ma.masked_array([1, 2], [True, False]), "matrix-like": np.eye(2),
        "shared": [base, base],
    }  # fmt: skip
    return {f"numpy-{name}": lambda v=value: {"x": v} for name, value in rows.items()}


def _away(title: str, make: Callable[[Any], Any], **options: Any) -> Case:
    def build(folder: Path) -> Built:
        with quiet(), throw_away("throw_away_models", SOURCE) as module:
            torch.manual_seed(0)
            value = make(module)
            torch.save(value, folder / "case.pt", **options)
            return Built(folder / "case.pt", expected(value))

    return honest(f"class-{title}", build)


def _classes() -> Iterator[Case]:
    rows: dict[str, Callable[[Any], Any]] = {
        "module": lambda m: m.Net(),
        "module-in-dict": lambda m: {"model": m.Net().half(), "epoch": 3, "ema": None},
        "config": lambda m: {"config": m.Config(a=1, b=[2]), "w": torch.ones(2)},
        "nested-class": lambda m: {"config": m.Config.Inner(), "kind": m.Config.Inner},
        "method": lambda m: {"hook": m.Reduced(1).method, "unbound": m.Reduced.method},
        "slots": lambda m: {"s": _slotted(m)},
        "reduce": lambda m: m.Reduced([torch.ones(2)]),
        "dict-subclass": lambda m: m.Mapping(a=torch.ones(2)),
        "list-subclass": lambda m: m.Listing([torch.ones(2), 3]),
        "str-subclass": lambda m: {"s": m.Text("x"), "n": m.Number(5)},
        "enum": lambda m: {
            "c": m.Colour.RED,
            "l": m.Level.HIGH,
            "f": m.Flags.A | m.Flags.B,
            m.Colour.RED: 1,
        },
        "namedtuple": lambda m: {"p": m.Point(torch.ones(1), 2)},
        "tensor-subclass": lambda m: {"t": torch.arange(3.0).as_subclass(m.Tagged)},
        "class-as-value": lambda m: {"cls": m.Net, "fn": m.Config},
    }
    yield _away("unicode-name", lambda m: {"x": m.Modèle(), "w": torch.ones(1)}, pickle_protocol=4)
    for title, make in rows.items():
        yield _away(title, make)
        yield _away(f"{title}-protocol-4", make, pickle_protocol=4)
        yield _away(f"{title}-legacy", make, _use_new_zipfile_serialization=False)


def _slotted(module: Any) -> Any:
    made = module.Slotted()
    made.a, made.b = 1, torch.ones(2)
    return made


def _bare(title: str, make: Maker, protocol: int) -> Case:
    def build(folder: Path) -> Built:
        value = make()
        (folder / "case.pkl").write_bytes(pickle.dumps(value, protocol))
        return Built(folder / "case.pkl", expected(value))

    return honest(f"{title}-protocol-{protocol}", build)


def cases() -> Iterator[Case]:
    """Objects inside torch files of several protocols, and as bare pickles of all six."""
    for index, (title, make) in enumerate({**_python(), **_numpy()}.items()):
        yield honest(title, saved(make, pickle_protocol=2 + index % 4))
    state = {"array": np.arange(6).reshape(2, 3), "text": ["a", "é"], "set": {1, 2}, "data": b"\x00\xff", "big": 2**70,
             "scalar": np.float64(2.5), "when": dt.date(2024, 1, 2), "none": None, "f": [0.1, True, -1]}  # fmt: skip
    for protocol in range(6):
        yield _bare("bare-mixed", lambda: state, protocol)
        yield _bare("bare-random-state", np.random.get_state, protocol)
        yield _bare(
            "bare-python",
            lambda: {"args": argparse.Namespace(a=1), "p": pathlib.Path("x")},
            protocol,
        )
    for title, model in (
        ("transformer", lambda: torch.nn.TransformerEncoderLayer(8, 2, 16)), ("lstm", lambda: torch.nn.LSTM(3, 4, 2)),
        ("conv", lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())),
        ("weight-norm", lambda: torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2)).state_dict()),
    ):  # fmt: skip
        yield honest(f"model-{title}", saved(model))
        yield honest(f"model-{title}-legacy", saved(model, _use_new_zipfile_serialization=False))
    yield from _classes()

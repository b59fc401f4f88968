"""What older Pythons, older torches and other libraries left in real checkpoints."""

from __future__ import annotations

import array
import collections
import functools
import ipaddress
import itertools
import logging
import pickle
import re
import time
import types
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.attacks import build_pickle as b
from tests.attacks.attack_routes import old
from tests.attacks.build_folder import made
from tests.attacks.build_legacy import legacy, legacy_storage
from tests.attacks.build_zip import FOUR_FLOATS, torch_zip
from tests.attacks.case import Built, Case, Seen, seen
from tests.attacks.honest_expect import expected, honest, quiet, saved

FOUR = seen("float32", (4,), FOUR_FLOATS)
ORDERED = b.name("collections", "OrderedDict")


def by_hand(title: str, data: bytes, tensors: tuple[Seen, ...] = (FOUR,)) -> Case:
    """A fabricated file with a known content."""

    def build(folder: Path) -> Built:
        (folder / "case.pt").write_bytes(data)
        return Built(folder / "case.pt", tensors)

    return honest(f"old-{title}", build)


def plain_pickles() -> Iterator[Case]:
    """pickle.dump of tensors: every storage is a whole stacked file inside a byte string."""

    def build(protocol: int, make: Callable[[], Any]) -> Callable[[Path], Built]:
        def write(folder: Path) -> Built:
            with quiet():
                value = make()
                (folder / "case.pkl").write_bytes(pickle.dumps(value, protocol))
                return Built(folder / "case.pkl", expected(value))

        return write

    state = {"weight": torch.arange(6.0).reshape(2, 3), "epoch": 3}
    for protocol in range(6):
        yield honest(f"pickle-dump-{protocol}", build(protocol, lambda: state))
    yield honest("pickle-dump-module", build(4, lambda: torch.nn.Linear(3, 2)))
    yield honest(
        "pickle-dump-rng", build(2, lambda: {"torch_manual_seed": torch.get_rng_state(), "step": 0})
    )


def python_two() -> Iterator[Case]:
    """Written by Python 2: byte strings as keys, copy_reg, __builtin__."""
    weight = b.Raw(old("weight"))
    state = b.stream(b.Raw(b"}(" + weight + b.tensor(legacy_storage()) + b"u"))
    yield by_hand("python2-keys", legacy(state))
    ordered = b.Raw(
        ORDERED + b"]" + b"(" + b"(" + weight + b.tensor(legacy_storage()) + b"l" + b"e\x85R"
    )
    yield by_hand("python2-ordered", legacy(b.stream(ordered)))
    dtype = b.Raw(
        b.name("numpy", "dtype")
        + b"("
        + old("f4")
        + b"K\0K\1tR(K\3"
        + old("<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    made_array = b.call(
        b.name("numpy.core.multiarray", "_reconstruct"),
        b.name("numpy", "ndarray"),
        (0,),
        b.Raw(old("b")),
    )
    raw = b"T" + len(FOUR_FLOATS).to_bytes(4, "little") + FOUR_FLOATS
    full = b.Raw(made_array + b.tup(1, (4,), dtype, False, b.Raw(raw)) + b"b")
    yield by_hand("python2-array", b.stream(b.Raw(b"}" + old("mean") + full + b"s")))
    new_style = b.call(
        b.name("copy_reg", "_reconstructor"),
        b.name("argparse", "Namespace"),
        b.name("__builtin__", "object"),
        None,
    )
    args = b.build(new_style, {"lr": 0.1})
    yield by_hand("python2-object", torch_zip(b.state_dict(args=args, w=b.tensor())))
    yield by_hand(
        "python2-set",
        torch_zip(b.state_dict(s=b.call(b.name("__builtin__", "set"), [1]), w=b.tensor())),
    )
    old_class = b.Raw(b"(" + b"imodels\nOldStyle\n" + b.const({"a": 1}) + b"b")
    yield by_hand("python2-old-style", torch_zip(b.state_dict(o=old_class, w=b.tensor())))


def old_torch() -> Iterator[Case]:
    """Rebuilds and classes of torch 0.1 to 1.5."""
    parameter = b.Raw(
        b.call(b.name("torch.nn.parameter", "Parameter"), b.tensor())
        + b.tup(True, False, b.EMPTY_HOOKS)
        + b"b"
    )
    yield by_hand("parameter-0.3", torch_zip(b.state_dict(w=parameter)))
    variable = b.Raw(
        b.call(b.name("torch.autograd.variable", "Variable"), b.tensor())
        + b.tup(True, False, b.EMPTY_HOOKS)
        + b"b"
    )
    yield by_hand("variable-0.3", torch_zip(b.state_dict(w=variable)))
    source = b.Raw(
        b.tup(
            "module",
            b.name("models", "Net"),
            "/home/x/models.py",
            "class Net(nn.Module):\n    pass\n",
        )
        + b"Q"
    )
    net = b.build(
        b.Raw(source + b")\x81"),
        {"_parameters": {"w": b.tensor(legacy_storage())}, "training": True},
    )
    yield by_hand("module-with-source", legacy(b.stream(net)))
    hooked = b.call(b.name("torch._utils", "_rebuild_parameter"), b.tensor(), True, b.EMPTY_HOOKS)
    yield by_hand("parameter-1.0", torch_zip(b.state_dict(w=hooked)))
    cuda = b.Raw(
        b.tup("storage", b.name("torch.cuda", "HalfStorage"), "0", "cuda:1", 8, None) + b"Q"
    )
    half = b.tensor(cuda, 0, (8,))
    yield by_hand("cuda-half", legacy(b.state_dict(w=half), storages=((8, FOUR_FLOATS),)), (
        seen("float16", (8,), FOUR_FLOATS),))  # fmt: skip
    metadata = b.build(b.call(ORDERED), {"_metadata": b.Raw(b.call(ORDERED))})
    yield by_hand("ordered-metadata", torch_zip(b.state_dict(s=metadata, w=b.tensor())))


def _strangers() -> dict[str, bytes]:
    any_type = b.name("typing", "Any")
    meta = made(
        "omegaconf.base",
        "ContainerMetadata",
        ref_type=any_type,
        object_type=b.name("builtins", "dict"),
        flags={},
    )
    node = made(
        "omegaconf.nodes",
        "AnyNode",
        _val=5,
        _metadata=made("omegaconf.base", "Metadata", ref_type=any_type),
    )
    lightning = b.Raw(
        b.new(b.name("pytorch_lightning.utilities.parsing", "AttributeDict"))
        + b.const("lr")
        + b.const(0.1)
        + b"s"
    )
    buffer = b.name("mmengine.logging.history_buffer", "HistoryBuffer")
    history = made("mmengine.logging.history_buffer", "HistoryBuffer", max_length=5, _statistics_methods={
        "mean": b.call(b.name("builtins", "getattr"), buffer, "mean")})  # fmt: skip
    arguments = made("transformers.training_args", "TrainingArguments", output_dir="out", lr=5e-5, save_strategy=b.call(
        b.name("transformers.trainer_utils", "SaveStrategy"), "steps"))  # fmt: skip
    index = b.call(
        b.name("pandas.core.indexes.base", "_new_Index"),
        b.name("pandas.core.indexes.base", "Index"),
        {"data": [1]},
    )
    return {
        "omegaconf": made(
            "omegaconf.dictconfig", "DictConfig", _content={"a": node}, _metadata=meta
        ),
        "lightning": lightning,
        "mmengine": history,
        "deepspeed": made(
            "deepspeed.runtime.fp16.loss_scaler", "LossScaler", cur_scale=1.0, dynamic=False
        ),
        "transformers": arguments,
        "pandas": made("pandas.core.frame", "DataFrame", _mgr=index, attrs={}),
        "fairseq": made("fairseq.data.dictionary", "Dictionary", symbols=["a"], count=[1]),
        "yolo": made("models.yolo", "Model", _modules={}, yaml={"nc": 80}, stride=b.tensor()),
        "detectron": b.Raw(b.const({"__author__": "x", "matching_heuristics": True})),
        "sklearn": made("sklearn.preprocessing._data", "StandardScaler", mean_=1.0),
    }


def _standard() -> dict[str, Any]:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    return {
        "regular-expression": re.compile(r"\w+", re.IGNORECASE),
        "simple-namespace": types.SimpleNamespace(a=1),
        "counter-iterator": itertools.count(5),
        "array": array.array("f", [1.0, 2.0]),
        "logger": logging.getLogger("train"),
        "partial": functools.partial(torch.nn.LayerNorm, eps=1e-6),
        "struct-time": time.gmtime(0),
        "zone": zoneinfo.ZoneInfo("UTC"),
        "address": ipaddress.ip_address("127.0.0.1"),
        "user-dict": collections.UserDict(a=1),
        "generic-alias": list[int],
        "plain-object": object(),
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3),
        "dataset": torch.utils.data.TensorDataset(torch.arange(4.0)),
        "loss": torch.nn.CrossEntropyLoss(weight=torch.ones(3)),
        "activation": [torch.nn.ReLU(), torch.nn.functional.silu, torch.nn.GELU],
        "averaged": torch.optim.swa_utils.AveragedModel(model),
    }


def cases() -> Iterator[Case]:
    """All of them."""
    yield from plain_pickles()
    yield from python_two()
    yield from old_torch()
    for title, body in _strangers().items():
        tensors = (FOUR, FOUR) if title == "yolo" else (FOUR,)
        yield by_hand(
            f"stranger-{title}", torch_zip(b.state_dict(x=b.Raw(body), w=b.tensor())), tensors
        )
    with quiet():
        standard = _standard()
    for title, value in standard.items():
        for protocol in (2, 4):
            make = lambda v=value: {"x": v, "w": torch.ones(2)}  # noqa: E731
            yield honest(f"standard-{title}-{protocol}", saved(make, pickle_protocol=protocol))

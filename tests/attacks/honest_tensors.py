"""Tensors of every dtype, shape, stride, tie and kind, as torch.save writes them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch

from tests.attacks.case import Case
from tests.attacks.honest_expect import Maker, honest, saved

TYPED = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128"
UNTYPED = (
    "uint16 uint32 uint64 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu "
    "complex32 float4_e2m1fn_x2 bits8 bits16 bits1x8 bits2x4 bits4x2"
)


def pattern(dtype: str, *shape: int) -> torch.Tensor:
    """A tensor whose bytes count up (0 and 1 for bool)."""
    kind = getattr(torch, dtype)
    count = 1
    for size in shape:
        count *= size
    raw = torch.arange(count * kind.itemsize, dtype=torch.int64)
    small = (raw % (2 if dtype == "bool" else 251)).to(torch.uint8)
    return small.view(kind).reshape(shape)


def _views() -> dict[str, Maker]:
    base = torch.arange(24.0)
    return {
        "zero-d": lambda: {"a": torch.tensor(1.5)},
        "empty": lambda: {"a": torch.empty(0), "b": torch.empty(3, 0, 2), "c": torch.empty(0, 5)},
        "eight-d": lambda: torch.arange(256.0).reshape([2] * 8),
        "ones": lambda: torch.ones([1] * 60),
        "large": lambda: torch.arange(300_000.0),
        "bare-tensor": lambda: torch.arange(5),
        "slice": lambda: {"a": base[3:9]},
        "step": lambda: {"a": base[1::3]},
        "transposed": lambda: {
            "a": base.reshape(4, 6).t(),
            "b": base.reshape(2, 3, 4).permute(2, 0, 1),
        },
        "expanded": lambda: {"a": torch.ones(1, 3).expand(5, 3), "b": torch.tensor(2.0).expand(7)},
        "overlapping": lambda: {"a": torch.as_strided(base, (8, 3), (2, 1), 1)},
        "huge-stride": lambda: {"a": torch.as_strided(base, (1, 4), (2**40, 1))},
        "zero-size-outside": lambda: {"a": torch.as_strided(base, (0, 4), (1, 1), 0)},
        "channels-last": lambda: (
            torch.arange(48.0).reshape(1, 3, 4, 4).to(memory_format=torch.channels_last)
        ),
        "diagonal": lambda: {"a": base[:16].reshape(4, 4).diagonal()},
        "unfolded": lambda: {"a": base.unfold(0, 5, 2)},
        "tail": lambda: {"a": base[23:], "b": base[24:]},
        "same-object": lambda: {"a": base, "b": base},
        "two-views": lambda: {"a": base[:12], "b": base[6:], "c": base.view(4, 6)},
        "many-views": lambda: [base[i:] for i in range(24)],
        "conj": lambda: {"a": torch.tensor([1 + 2j, 3 - 4j]).conj()},
        "neg": lambda: {"a": torch.tensor([1 + 2j, 3 - 4j]).conj().imag},
        "conj-strided": lambda: {"a": torch.arange(8.0).to(torch.complex64).mul(1j)[::2].conj()},
        "real-of-complex": lambda: {"a": torch.arange(6.0).to(torch.complex64).real},
        "special-values": lambda: torch.tensor(
            [float("nan"), -float("nan"), float("inf"), -0.0, 1e-45]
        ),
    }


def _compound() -> dict[str, Maker]:
    dense = torch.eye(4)
    nested = [torch.arange(3.0), torch.arange(5.0)]
    return {
        "requires-grad": lambda: {"a": torch.ones(3, requires_grad=True)},
        "parameter": lambda: {"a": torch.nn.Parameter(torch.ones(2)), "b": torch.nn.Parameter(torch.ones(2), False)},
        "buffer": lambda: {"a": torch.nn.Buffer(torch.ones(2))},
        "parameter-attribute": lambda: _with_attribute(torch.nn.Parameter(torch.ones(2))),
        "tensor-attribute": lambda: _with_attribute(torch.ones(2)),
        "sparse-coo": lambda: {"a": dense.to_sparse()},
        "sparse-uncoalesced": lambda: {"a": torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2.0], (3, 3))},
        "sparse-hybrid": lambda: {"a": torch.sparse_coo_tensor([[0, 2]], torch.ones(2, 5), (4, 5))},
        "sparse-empty": lambda: {"a": torch.zeros(4, 4).to_sparse()},
        "sparse-csr": lambda: {"a": dense.to_sparse_csr()},
        "sparse-csc": lambda: {"a": dense.to_sparse_csc()},
        "sparse-bsr": lambda: {"a": dense.to_sparse_bsr((2, 2))},
        "sparse-bsc": lambda: {"a": dense.to_sparse_bsc((2, 2))},
        "sparse-csr-batch": lambda: {"a": torch.stack([dense, dense]).to_sparse_csr()},
        "quantized": lambda: {"a": torch.quantize_per_tensor(torch.arange(6.0), 0.5, 3, torch.quint8)},
        "quantized-int8": lambda: {"a": torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8).t()},
        "quantized-int32": lambda: {"a": torch.quantize_per_tensor(dense, 0.1, 0, torch.qint32)},
        "quantized-channel": lambda: {"a": torch.quantize_per_channel(
            dense, torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64), torch.zeros(4, dtype=torch.int64), 0, torch.qint8)},
        "nested": lambda: {"a": torch.nested.nested_tensor(nested)},
        "meta": lambda: {"a": torch.empty(3, 4, device="meta"), "b": torch.ones(2)},
        "meta-parameter": lambda: torch.nn.Linear(2, 3, device="meta").state_dict(),
        "storage": lambda: {"a": torch.arange(4.0).untyped_storage(), "b": torch.ones(2)},
        "typed-storage": lambda: {"a": torch.FloatStorage([1.0, 2.0]), "b": torch.ones(2)},
        "odd-names": lambda: {"a\x7fb": torch.ones(1), "\u202e": torch.ones(2), "a/b\\c": torch.ones(3), "": torch.ones(4)},
        "tensor-as-key": lambda: {torch.arange(3): "x"},
        "tensor-in-set": lambda: {torch.arange(3), torch.arange(4)},
    }  # fmt: skip


def _with_attribute(tensor: torch.Tensor) -> dict[str, Any]:
    tensor.note = "kept"  # type: ignore[attr-defined]
    tensor.other = torch.arange(3)  # type: ignore[attr-defined]
    return {"a": tensor}


def _training() -> dict[str, Maker]:
    def trained(cls: Any, **options: Any) -> dict[str, Any]:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        optimizer = cls(model.parameters(), **options)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(torch.ones(1, 3)).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        scheduler.step()
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        return {**state, "scheduler": scheduler.state_dict(), "epoch": 3, "best": float("inf")}

    def averaged() -> dict[str, Any]:
        return dict(torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 2)).state_dict())

    def tied() -> OrderedDict[str, torch.Tensor]:
        model = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False))
        model[1].weight = model[0].weight
        return model.state_dict()

    rows: dict[str, Maker] = {"averaged": averaged, "tied": tied}
    for name, options in (
        ("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"amsgrad": True}), ("AdamW", {}), ("RMSprop", {"centered": True}),
        ("Adagrad", {}), ("LBFGS", {}), ("Adadelta", {}), ("NAdam", {}), ("Rprop", {}), ("ASGD", {}),
    ):  # fmt: skip
        rows[f"optimizer-{name}"] = lambda n=name, o=options: trained(getattr(torch.optim, n), **o)
    rows["rng"] = lambda: {"torch": torch.get_rng_state()}
    rows["scaler"] = lambda: torch.amp.GradScaler("cpu").state_dict()
    return rows


def cases() -> Iterator[Case]:
    """Everything as a zip; the plain ones as the stacked format too."""
    for dtype in (TYPED + " " + UNTYPED).split():
        make = lambda d=dtype: {"a": pattern(d, 2, 3), "b": pattern(d, 4)[1:3], "c": pattern(d, 0)}  # noqa: E731
        yield honest(f"dtype-{dtype}", saved(make))
        if dtype in TYPED.split():
            yield honest(f"dtype-{dtype}-legacy", saved(make, _use_new_zipfile_serialization=False))
    for title, make in {**_views(), **_compound(), **_training()}.items():
        yield honest(f"tensor-{title}", saved(make))
        if title not in ("storage", "typed-storage"):
            yield honest(
                f"tensor-{title}-legacy", saved(make, _use_new_zipfile_serialization=False)
            )

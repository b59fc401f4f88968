"""Figures of tensors are those of torch, for every dtype, with numpy and without it."""

from __future__ import annotations

import math

import pytest
import torch

from ckptkit.nodes import Storage, TensorNode
from ckptkit.types import DTYPES
from ckptkit.verbs import number_formats
from ckptkit.verbs.small_floats import decode_bits
from ckptkit.verbs.statistics import N_BINS, tensor_statistics


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.nbytes = data, len(data)

    def read_into(self, offset: int, out: memoryview) -> None:
        out[:] = self.data[offset : offset + len(out)]


def node(tensor: torch.Tensor) -> TensorNode:
    data = bytes(tensor.reshape(-1).view(torch.uint8).tolist()) if tensor.numel() else b""
    dtype = DTYPES[str(tensor.dtype).removeprefix("torch.")]
    strides = torch.empty(tensor.shape).stride()
    storage = Storage("0", len(data), Bytes(data))
    return TensorNode(
        dtype=dtype, shape=tuple(tensor.shape), strides=tuple(strides), offset=0, storage=storage
    )


@pytest.fixture(params=["numpy", "without numpy"])
def engine(request, monkeypatch):
    if request.param == "without numpy":
        monkeypatch.setattr(number_formats, "find_spec", lambda name: None)
    return request.param


FLOATS = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
INTS = ["int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64"]


def check(tensor: torch.Tensor) -> None:
    found = tensor_statistics(node(tensor))
    values = tensor.abs() if tensor.is_complex() else tensor
    values = values.to(torch.float64).flatten()
    finite = values[torch.isfinite(values)]
    assert found.n_elements == tensor.numel()
    assert found.n_nan == int(torch.isnan(values).sum())
    assert found.n_inf == int(torch.isinf(values).sum())
    assert found.n_zero == int((values == 0).sum())
    assert sum(found.histogram) == finite.numel()
    if finite.numel():
        assert (found.low, found.high) == (finite.min().item(), finite.max().item())
        assert math.isclose(found.mean, finite.mean().item(), rel_tol=1e-9, abs_tol=1e-12)
        assert math.isclose(
            found.deviation, finite.std(correction=0).item(), rel_tol=1e-6, abs_tol=1e-9
        )
        width = (found.high - found.low) or 1.0
        bins = ((finite - found.low) / width * N_BINS).long().clamp(0, N_BINS - 1)
        assert list(found.histogram) == torch.bincount(bins, minlength=N_BINS).tolist()


@pytest.mark.parametrize("name", FLOATS)
def test_floats_with_their_odd_values(name, engine):
    torch.manual_seed(0)
    tensor = torch.randn(7, 31, dtype=torch.float64) * 3
    tensor[0, :4] = torch.tensor([0.0, -0.0, math.nan, math.inf])
    check(tensor.to(getattr(torch, name)))


@pytest.mark.parametrize("name", INTS)
def test_integers(name, engine):
    low = 0 if name.startswith("u") else -100
    tensor = torch.randint(low, 100, (5, 9), generator=torch.Generator().manual_seed(1))
    check(tensor.to(getattr(torch, name)))


def test_bool_and_complex(engine):
    check(torch.tensor([True, False, True, True]))
    check(torch.tensor([3 + 4j, 0j, complex(math.nan, 0)], dtype=torch.complex64))
    check(torch.tensor([3 + 4j, 1j], dtype=torch.complex128))


def test_a_scalar_a_constant_and_an_empty_tensor(engine):
    check(torch.tensor(2.5))
    check(torch.full((10,), 7.0))
    found = tensor_statistics(node(torch.empty(0, 3)))
    assert found.n_elements == 0
    assert found.histogram == (0,) * N_BINS


def test_nothing_but_nan_has_no_extremes(engine):
    found = tensor_statistics(node(torch.full((4,), math.nan)))
    assert (found.n_nan, found.low, found.high, sum(found.histogram)) == (4, 0.0, 0.0, 0)


def test_the_largest_doubles_do_not_overflow_the_histogram(engine):
    found = tensor_statistics(node(torch.tensor([-1.7e308, 1.7e308], dtype=torch.float64)))
    assert (found.low, found.high) == (-1.7e308, 1.7e308)
    assert found.histogram[0] == found.histogram[-1] == 1


def test_chunks_are_joined_as_one(engine, monkeypatch):
    monkeypatch.setattr("ckptkit.verbs.statistics.CHUNK_NBYTES", 64)
    check(torch.randn(500, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize(
    "name",
    ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"],
)
def test_every_bit_pattern_of_the_small_floats_is_what_torch_says(name):
    bits = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    theirs = bits.view(getattr(torch, name)).to(torch.float64).tolist()
    ours = [decode_bits(name, pattern) for pattern in range(256)]
    assert [str(x) for x in ours] == [str(x) for x in theirs]


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_every_bit_pattern_of_the_half_floats_is_what_torch_says(name):
    bits = torch.arange(65536, dtype=torch.int32).to(torch.uint16)
    theirs = bits.view(getattr(torch, name)).to(torch.float64)
    ours = torch.tensor([decode_bits(name, n) for n in range(65536)], dtype=torch.float64)
    assert torch.equal(torch.isnan(ours), torch.isnan(theirs))
    assert torch.equal(ours.nan_to_num(), theirs.nan_to_num())


def test_raw_bits_are_no_numbers():
    raw = TensorNode(
        dtype=DTYPES["bits8"],
        shape=(4,),
        strides=(1,),
        offset=0,
        storage=Storage("0", 4, Bytes(b"abcd")),
    )
    assert tensor_statistics(raw) is None


def test_a_meta_tensor_has_no_figures():
    meta = TensorNode(
        dtype=DTYPES["float32"], shape=(4,), strides=(1,), offset=0, storage=Storage("0", 16, None)
    )
    assert tensor_statistics(meta) is None


@pytest.mark.parametrize("name", ["float32", "float64", "int64", "complex64"])
@pytest.mark.parametrize("repeated", [True, False])
def test_few_values_and_many_have_true_figures_with_odd_ones_among_them(name, repeated, engine):
    tensor = torch.arange(6000) % (5 if repeated else 6000)
    tensor = tensor.to(getattr(torch, name))
    if name != "int64":
        tensor[100], tensor[5000], tensor[5001] = math.nan, math.inf, -math.inf
    check(tensor)


def test_sums_beyond_any_double_keep_their_extremes(engine):
    tensor = torch.linspace(1.0e308, 1.7e308, 50, dtype=torch.float64)
    found = tensor_statistics(node(tensor))
    assert (found.n_inf, found.n_nan) == (0, 0)
    assert (found.low, found.high) == (1.0e308, 1.7e308)
    assert sum(found.histogram) == 50


def test_progress_counts_both_passes():
    seen = []
    tensor_statistics(node(torch.ones(100)), seen.append)
    assert sum(seen) == 2 * 400

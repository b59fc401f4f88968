"""Laws: what we dump, the official safetensors library reads; what it writes, we read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptkit.containers.logical import logical_source
from ckptkit.containers.safetensors import SafetensorsContainer
from ckptkit.containers.safetensors_header import (
    alignment_order,
    dump_header,
    stored_shape,
)
from ckptkit.nodes import TensorNode
from ckptkit.protocols import Opened, Probe
from ckptkit.types import DEFAULT_LIMITS, DTYPES, TensorSpec

safetensors = pytest.importorskip("safetensors")
torch = pytest.importorskip("torch")
from safetensors.torch import load as official_load  # noqa: E402
from safetensors.torch import save as official_save  # noqa: E402

OFFICIAL = [
    "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64",
    "complex64 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu",
]
OFFICIAL_NAMES = " ".join(OFFICIAL).split()

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name != "__metadata__"
)
metadata = st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"])), max_size=3)


@st.composite
def tensors(draw: st.DrawFn, dtypes: list[str]) -> dict[str, tuple[TensorSpec, bytes]]:
    made = {}
    for name in draw(st.lists(names, unique=True, max_size=6)):
        spec = TensorSpec(name, DTYPES[draw(st.sampled_from(dtypes))], draw(shapes))
        data = draw(st.binary(min_size=spec.nbytes, max_size=spec.nbytes))
        if spec.dtype.name == "bool":
            data = bytes(byte & 1 for byte in data)
        made[name] = spec, data
    return made


def raw(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().flatten().view(torch.uint8).numpy())


def open_bytes(folder: Path, data: bytes) -> Opened:
    path = folder / "any-name"
    path.write_bytes(data)
    probe = Probe(path=path, is_dir=False, nbytes=len(data), head=data[:4096])
    assert SafetensorsContainer().matches(probe)
    return SafetensorsContainer().open(probe, DEFAULT_LIMITS, lambda _: pytest.fail("no inner"))


def all_bytes(tensor: TensorNode) -> bytes:
    source = logical_source(tensor)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round-trip")


@settings(deadline=None, max_examples=150)
@given(made=tensors(sorted(DTYPES)), notes=metadata, aligned=st.booleans())
def test_the_official_library_reads_what_we_dump(
    made: dict[str, tuple[TensorSpec, bytes]], notes: dict[str, str], aligned: bool
) -> None:
    specs = [spec for spec, _ in made.values()]
    if aligned:
        specs = [specs[index] for index in alignment_order(specs)]
    header, spans = dump_header(specs, notes)
    assert len(header) % 8 == 0
    assert [span.nbytes for span in spans] == [spec.nbytes for spec in specs]
    file = header + b"".join(made[spec.name][1] for spec in specs)
    assert all(file[a:b] == made[s.name][1] for s, (a, b) in zip(specs, spans, strict=True))
    read = safetensors.deserialize(file)
    assert {name for name, _ in read} == set(made)
    for name, entry in read:
        spec, data = made[name]
        assert entry["dtype"] == spec.dtype.safetensors
        assert tuple(entry["shape"]) == stored_shape(spec)
        assert bytes(entry["data"]) == data


@settings(deadline=None, max_examples=60)
@given(made=tensors([name for name in OFFICIAL_NAMES if name != "float8_e8m0fnu"]))
def test_official_torch_loading_gives_our_dtypes_and_bytes(
    made: dict[str, tuple[TensorSpec, bytes]],
) -> None:
    specs = [made[name][0] for name in made]
    specs = [specs[index] for index in alignment_order(specs)]
    file = dump_header(specs)[0] + b"".join(made[spec.name][1] for spec in specs)
    loaded = official_load(file)
    assert set(loaded) == set(made)
    for name, tensor in loaded.items():
        spec, data = made[name]
        assert str(tensor.dtype) == f"torch.{spec.dtype.name}"
        assert tuple(tensor.shape) == spec.shape
        assert raw(tensor) == data


@settings(deadline=None, max_examples=100)
@given(made=tensors(OFFICIAL_NAMES), notes=metadata)
def test_we_read_what_the_official_library_writes(
    folder: Path, made: dict[str, tuple[TensorSpec, bytes]], notes: dict[str, str]
) -> None:
    live = {
        name: torch.frombuffer(bytearray(data or b"\0"), dtype=torch.uint8)[: len(data)]
        .view(getattr(torch, spec.dtype.name))
        .reshape(spec.shape)
        for name, (spec, data) in made.items()
    }
    # An empty map makes safetensors 0.8 write a header that it cannot read itself.
    opened = open_bytes(folder, official_save(live, notes or None))
    assert {**dict(opened.properties["metadata"].items())} == notes
    assert set(opened.root) == set(made)
    for name, tensor in opened.root.items():
        spec, data = made[name]
        assert (tensor.dtype, tensor.shape) == (spec.dtype, spec.shape)
        assert tensor.strides == live[name].stride()
        assert all_bytes(tensor) == data
    opened.close()


@settings(deadline=None, max_examples=100)
@given(made=tensors(sorted(DTYPES)), notes=metadata)
def test_we_read_what_we_dump_in_the_order_given(
    folder: Path, made: dict[str, tuple[TensorSpec, bytes]], notes: dict[str, str]
) -> None:
    specs = [spec for spec, _ in made.values()]
    header, _ = dump_header(specs, notes)
    opened = open_bytes(folder, header + b"".join(data for _, data in made.values()))
    assert list(opened.root) == list(made)
    for name, tensor in opened.root.items():
        assert tensor.dtype.safetensors == made[name][0].dtype.safetensors
        assert tensor.nbytes == math.prod(made[name][0].shape) * made[name][0].dtype.nbytes
        assert all_bytes(tensor) == made[name][1]
    opened.close()


def test_every_dtype_of_the_official_library_is_in_these_laws() -> None:
    # F4 and the F6 types have no whole bytes an element; tests/unit/test_safetensors.py has them.
    from safetensors.torch import _SIZE

    known = {str(dtype).removeprefix("torch.") for dtype in _SIZE if dtype is not None}
    assert known - {"float4_e2m1fn_x2"} == set(OFFICIAL_NAMES)

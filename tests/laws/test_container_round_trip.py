"""What torch writes in any of its formats, we read: dtype, shape, ties and every bit."""

import contextlib
import hashlib
import io
import math
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckptkit.containers.bare_pickle import BarePickleContainer
from ckptkit.containers.logical import logical_source
from ckptkit.containers.probe import choose, make_probe
from ckptkit.containers.torch_legacy import TorchLegacyContainer
from ckptkit.containers.torch_tar import TorchTarContainer
from ckptkit.containers.torch_zip import TorchZipContainer
from ckptkit.errors import CkptkitError
from ckptkit.nodes import TensorNode
from ckptkit.types import DEFAULT_LIMITS, DTYPES
from tests.attacks.build_zip import Entry, write_zip

CONTAINERS = [
    TorchZipContainer(), TorchLegacyContainer(), TorchTarContainer(), BarePickleContainer(),
]  # fmt: skip
FORMATS = ["zip", "legacy"]
PLAIN = [
    name
    for name, dtype in DTYPES.items()
    if dtype.kind in "fiubc" and isinstance(getattr(torch, name, None), torch.dtype)
]
ROUNDS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf", "ignore:.*deprecated")


@st.composite
def storages(draw):
    """A flat tensor of any dtype with any bits, NaN payloads included."""
    name = draw(st.sampled_from(PLAIN))
    count = draw(st.integers(1, 40))
    nbytes = count * DTYPES[name].nbytes
    raw = draw(st.binary(min_size=nbytes, max_size=nbytes))
    if name == "bool":
        raw = bytes(byte & 1 for byte in raw)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).clone().view(getattr(torch, name))


@st.composite
def views(draw, base):
    """Any view that stays inside: permuted, expanded, sliced, 0-d, empty, overlapping."""
    left, shape, strides = base.numel() - 1, [], []
    offset = draw(st.integers(0, left))
    left -= offset
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.integers(0, 4))
        most = left // (size - 1) if size > 1 else 5
        stride = draw(st.integers(0, most))
        left -= max(0, size - 1) * stride
        shape.append(size)
        strides.append(stride)
    view = base.as_strided(shape, strides, offset)
    if view.is_complex() and draw(st.booleans()):
        view = view.conj()
    return view


@st.composite
def states(draw):
    """A dict of views, several of one storage, some of them the same view again."""
    state = {}
    for group in range(draw(st.integers(1, 3))):
        base = draw(storages())
        for number in range(draw(st.integers(1, 3))):
            state[f"{group}.{number}"] = draw(views(base))
        if draw(st.booleans()):
            state[f"{group}.tied"] = state[f"{group}.0"]
    return state


def bits(tensor):
    """The logical bytes, as torch itself lays them out."""
    if not tensor.numel():
        return b""
    is_conj = tensor.is_conj()
    plain = tensor.conj() if is_conj else tensor
    width = DTYPES[str(plain.dtype).removeprefix("torch.")].nbytes
    raw = torch.empty(0, dtype=torch.uint8).set_(plain.untyped_storage())
    places = torch.zeros((), dtype=torch.int64) + plain.storage_offset()
    for size, stride in zip(plain.shape, plain.stride(), strict=True):
        places = places.unsqueeze(-1) + torch.arange(size) * stride
    cells = raw[: len(raw) // width * width].view(-1, width)[places.reshape(-1)].clone()
    if is_conj:
        cells[:, -1] ^= 0x80
    return cells.numpy().tobytes()


def content(node, chunk):
    source = logical_source(node)
    out = bytearray(source.nbytes)
    for start in range(0, len(out), chunk):
        source.read_into(start, memoryview(out)[start : start + chunk])
    return bytes(out)


def ties(items, key):
    """Which names show the same thing, as a partition."""
    groups = {}
    for name, value in items:
        groups.setdefault(key(value), []).append(name)
    return sorted(groups.values())


def read(data, work):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "anything.bin"
        path.write_bytes(data)
        probe = make_probe(path)
        opened = choose(probe, CONTAINERS).open(probe, DEFAULT_LIMITS, None)
        try:
            return work(opened)
        finally:
            opened.close()


def saved(value, kind, protocol=2):
    out = io.BytesIO()
    torch.save(value, out, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "zip")
    return out.getvalue()


def assert_equal(root, state, chunk):
    assert list(root) == list(state)
    for name, tensor in state.items():
        node = root[name]
        assert isinstance(node, TensorNode)
        assert node.dtype.name == str(tensor.dtype).removeprefix("torch.")
        assert node.shape == tuple(tensor.shape)
        wanted = hashlib.sha256(bits(tensor)).hexdigest()
        assert hashlib.sha256(content(node, chunk)).hexdigest() == wanted, name
    alike = ties(
        state.items(),
        lambda t: (
            t.untyped_storage().data_ptr(),
            t.storage_offset(),
            t.shape,
            t.stride(),
            t.is_conj(),
        ),
    )
    assert ties(root.items(), TensorNode.same_view) == alike
    shared = ties(state.items(), lambda t: t.untyped_storage().data_ptr())
    assert ties(root.items(), lambda node: id(node.storage)) == shared


@ROUNDS
@given(
    state=states(),
    kind=st.sampled_from(FORMATS),
    protocol=st.integers(1, 5),
    chunk=st.integers(1, 500),
)
def test_every_tensor_survives_in_every_format(state, kind, protocol, chunk):
    def check(opened):
        assert_equal(opened.root, state, chunk)
        assert all(found.outcome != "damaged" for found in opened.checks())
        assert opened.notices == ()

    read(saved(state, kind, protocol), check)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", PLAIN)
def test_every_dtype_survives(name, kind):
    width = DTYPES[name].nbytes
    raw = bytes(i % 2 for i in range(12 * width)) if name == "bool" else bytes(range(12 * width))
    flat = torch.frombuffer(bytearray(raw), dtype=torch.uint8).clone().view(getattr(torch, name))
    state = {
        "flat": flat,
        "turned": flat.view(3, 4).t(),
        "one": flat[5],
        "none": flat[:0],
        "part": flat[2:9:3],
    }
    read(saved(state, kind), lambda opened: assert_equal(opened.root, state, 7))


def turned_around(data, state):
    """The archive that a big-endian machine would have written of ``state``."""
    widths = {}
    for tensor in state.values():
        widths[tensor.untyped_storage().data_ptr()] = DTYPES[str(tensor.dtype)[6:]].swap_nbytes or 1
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        rows = [(name, archive.read(name)) for name in archive.namelist()]
    order = list(widths.values())
    out = []
    for name, content_ in rows:
        folder, _, key = name.rpartition("/")
        body = content_
        if name.endswith("/byteorder"):
            body = b"big"
        elif folder.endswith("/data"):
            width = order[int(key)]
            body = b"".join(content_[i : i + width][::-1] for i in range(0, len(content_), width))
        out.append(Entry(name, body))
    return write_zip(out)


@ROUNDS
@given(state=states(), chunk=st.integers(1, 500))
def test_a_big_endian_archive_holds_the_same_values(state, chunk):
    data = turned_around(saved(state, "zip"), state)
    read(data, lambda opened: assert_equal(opened.root, state, chunk))


@ROUNDS
@given(state=states(), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_zip_changes_a_tensor(state, at, bit):
    raw = bytearray(saved(state, "zip"))
    raw[math.floor(at * len(raw))] ^= 1 << bit
    with contextlib.suppress(CkptkitError):  # noticed
        read(bytes(raw), lambda opened: assert_equal(opened.root, state, 64))

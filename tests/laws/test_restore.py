"""restore(save(x)) == x, to the bit: for modules of any dtypes, ties, strides and nesting."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ckptkit
from ckptkit.errors import CkptkitError

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn,
    torch.complex64, torch.complex128, torch.int64, torch.int32, torch.uint8, torch.bool,
]  # fmt: skip
NAMES = ["a", "b", "w", "module", "weight", "block_1", "0"]
SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)
ORDERS = st.sampled_from(["plain", "transposed", "sliced"])


@st.composite
def leaves(draw):
    """What one tensor of a module is: dtype, shape, memory layout, trained or not, and its bits."""
    return (
        draw(st.sampled_from(DTYPES)), draw(SHAPES), draw(ORDERS), draw(st.booleans()),
        draw(st.integers(0, 2**31)),
    )  # fmt: skip


@st.composite
def plans(draw):
    """A module as data: submodules with leaves, and names that share another's memory."""
    parts = draw(st.lists(st.lists(leaves(), max_size=4), min_size=1, max_size=4))
    names = draw(st.permutations(NAMES))
    ties = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=2))
    return parts, names, ties


def tensor_of(leaf, *, bits):
    dtype, shape, order, _, seed = leaf
    wanted = tuple(reversed(shape)) if order == "transposed" else shape
    memory = tuple(n * 2 for n in wanted) if order == "sliced" else wanted
    made = torch.empty(memory, dtype=dtype)
    raw = made.view(-1).view(torch.uint8) if made.numel() else None
    if raw is not None:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randint(0, 2 if dtype is torch.bool else 256, raw.shape, generator=generator)
        raw.copy_(noise.to(torch.uint8) if bits else torch.zeros_like(raw))
    if order == "transposed":
        return made.permute(tuple(reversed(range(made.dim()))))
    return made[tuple(slice(0, n) for n in wanted)] if order == "sliced" else made


def build(plan, *, bits=True, reverse=False, tie=True):
    """Make the module of a plan; with its names in the other order, or all bits zero."""
    parts, names, ties = plan
    module = nn.ModuleDict()
    numbered = list(enumerate(parts))
    for number, part in reversed(numbered) if reverse else numbered:
        inner = nn.Module()
        rows = list(enumerate(part))
        for index, leaf in reversed(rows) if reverse else rows:
            value, is_float = tensor_of(leaf, bits=bits), leaf[0].is_floating_point
            if leaf[3]:
                inner.register_parameter(names[index], nn.Parameter(value, requires_grad=is_float))
            else:
                inner.register_buffer(names[index], value)
        module[f"part_{number}"] = inner
    for target, source in ties if tie else ():
        if f"part_{target}" in module and f"part_{source}" in module and target != source:
            for name, parameter in list(module[f"part_{source}"]._parameters.items()):
                module[f"part_{target}"].register_parameter(f"tied_{name}", parameter)
    return module


def on_meta(module):
    """The module without memory; ``.to("meta")`` would untie it."""
    made = {}
    for part in module.modules():
        for drawer in (part._parameters, part._buffers):
            for name, value in drawer.items():
                shadow = made.setdefault(id(value), torch.empty_like(value, device="meta"))
                if isinstance(value, nn.Parameter) and not isinstance(shadow, nn.Parameter):
                    shadow = made[id(value)] = nn.Parameter(shadow, value.requires_grad)
                drawer[name] = shadow
    return module


def bits_of(module):
    """Every name with its dtype, shape and bits: NaN payloads and signed zeros count."""
    return {
        name: (value.dtype, tuple(value.shape),
               value.detach().contiguous().view(-1).view(torch.uint8).tolist() if value.numel() else [])
        for name, value in module.state_dict().items()
    }  # fmt: skip


@contextmanager
def folder():
    path = Path(tempfile.mkdtemp(prefix="ckptkit-law-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def wants_something(module):
    return any(value.numel() for value in module.state_dict().values())


SEALED = {
    "save": lambda module, path: ckptkit.save(path / "x", {"model": module}),
    "migrate": lambda module, path: (
        torch.save(module.state_dict(), path / "x.pt"),
        ckptkit.migrate(path / "x.pt", path / "x"),
    ),
}


@settings(deadline=None, max_examples=60)
@given(plan=plans(), how=st.sampled_from(sorted(SEALED)), reverse=st.booleans())
def test_every_bit_comes_back_whatever_the_order_of_names(plan, how, reverse):
    stored = build(plan)
    live = build(plan, bits=False, reverse=reverse)
    if not wants_something(stored):
        return
    strides = {name: value.stride() for name, value in live.state_dict().items()}
    with folder() as path:
        SEALED[how](stored, path)
        report = ckptkit.restore(path / "x", {"model": live}, dialect=None)
    assert bits_of(live) == bits_of(stored)
    assert {name: value.stride() for name, value in live.state_dict().items()} == strides
    assert report.component("model").status == "restored"


@settings(deadline=None, max_examples=40)
@given(plan=plans())
def test_a_file_of_torch_save_restores_as_load_state_dict(plan):
    stored, live, peer = build(plan), build(plan, bits=False), build(plan, bits=False)
    if not wants_something(stored):
        return
    with folder() as path:
        torch.save({"state_dict": stored.state_dict()}, path / "x.pt")
        peer.load_state_dict(torch.load(path / "x.pt")["state_dict"])
        ckptkit.restore(path / "x.pt", {"model": live})
    assert bits_of(live) == bits_of(peer)


@settings(deadline=None, max_examples=40)
@given(plan=plans())
def test_a_meta_module_becomes_the_stored_one_ties_and_all(plan):
    stored = build(plan)
    if not wants_something(stored):
        return
    live = on_meta(build(plan, bits=False))
    tied = build(plan, bits=False)
    with folder() as path:
        ckptkit.save(path / "x", {"model": stored})
        ckptkit.restore(path / "x", {"model": live})
    assert bits_of(live) == bits_of(stored)
    shared = {id(p) for _, p in tied.named_parameters(remove_duplicate=False)}
    assert len({id(p) for _, p in live.named_parameters(remove_duplicate=False)}) == len(shared)


@settings(deadline=None, max_examples=40)
@given(plan=plans(), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_damage_anywhere_is_found_or_does_no_harm(plan, place, bit):
    stored = build(plan)
    if not wants_something(stored):
        return
    with folder() as path:
        ckptkit.save(path / "x", {"model": stored}, provenance=False)
        files = sorted(file for file in (path / "x").iterdir())
        offset = int(place * sum(file.stat().st_size for file in files))
        for file in files:
            size = file.stat().st_size
            if offset < size:
                data = bytearray(file.read_bytes())
                data[offset] ^= 1 << bit
                file.write_bytes(data)
                break
            offset -= size
        live = build(plan, bits=False)
        try:
            ckptkit.restore(path / "x", {"model": live})
        except CkptkitError:
            return
        # Restore reads neither the header of a data file nor an index: the manifest says it all.
        assert file.suffix in (".safetensors", ".json")
        assert bits_of(live) == bits_of(stored)


@settings(deadline=None, max_examples=25)
@given(plan=plans())
def test_restoring_twice_is_restoring_once(plan):
    stored, live = build(plan), build(plan, bits=False)
    if not wants_something(stored):
        return
    with folder() as path:
        ckptkit.save(path / "x", {"model": stored})
        first = ckptkit.restore(path / "x", {"model": live})
        bits = bits_of(live)
        assert ckptkit.restore(path / "x", {"model": live}) == first
    assert bits_of(live) == bits


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_is_among_those_generated(dtype):
    module = build(([[(dtype, (2, 3), "plain", False, 1)]], NAMES, []))
    assert module.state_dict()["part_0.a"].dtype == dtype

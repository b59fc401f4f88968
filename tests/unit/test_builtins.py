"""What stands for a container says of it what it says itself, and never hides it."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit import containers, dialects
from ckptkit.hooks import builtins
from ckptkit.protocols import Probe

LAZY = list(builtins.ckptkit_containers())

MARKS = [
    b"PK\x03\x04", b"PK\x05\x06", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x05",
    b"L119547037146038801333356L\n.", b"(dp0\n", b"cos\nsystem\n(", b'{"metadata": {}, "weight_map": {',
    b'  {"weight_map": {', b"\x40\0\0\0\0\0\0\0{", (b"\xff\xff\xff\xff\0\0\0\0" b'{"'), b"", b"\0" * 600,
    b"\x89HDF", b"<html", b"version https://git-lfs",
]  # fmt: skip
heads = st.builds(
    lambda mark, tail, n: (mark + tail)[:4096] + b"0" * n,
    st.sampled_from(MARKS), st.binary(max_size=600), st.sampled_from([0, 600]),
)  # fmt: skip
names = st.lists(
    st.sampled_from([
        "manifest.msgpack", ".metadata", "__0_0.distcp", "model.safetensors", "optimizer.safetensors",
        "config.json", "a.pt", "rng.safetensors",
    ]),
    unique=True,
)  # fmt: skip


def tar_block(link: bytes, magic: bytes) -> bytes:
    block = bytearray(b"sys_info".ljust(512, b"\0"))
    block[156:157], block[257:262] = link, magic.ljust(5, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


@pytest.mark.parametrize("lazy", LAZY, ids=lambda lazy: lazy.name)
def test_name_title_and_rank_are_those_of_the_container(lazy):
    assert (lazy.name, lazy.title, lazy.rank) == (lazy.real.name, lazy.real.title, lazy.real.rank)


@given(head=heads)
def test_no_guard_hides_a_file_that_its_container_would_take(tmp_path_factory, head):
    path = tmp_path_factory.getbasetemp() / "probe.bin"
    path.write_bytes(head)
    probe = Probe(path=path, is_dir=False, nbytes=len(head), head=head[:4096])
    for lazy in LAZY:
        assert lazy.may_match(probe) or not lazy.real.matches(probe)


@given(names=names, folder=st.sampled_from(["run", ".run.stage-12-ab", "checkpoint-5"]))
def test_no_guard_hides_a_folder_that_its_container_would_take(names, folder):
    probe = Probe(path=Path("/nowhere") / folder, is_dir=True, nbytes=0, names=tuple(sorted(names)))
    for lazy in LAZY:
        assert lazy.may_match(probe) or not lazy.real.matches(probe)


@pytest.mark.parametrize("magic", [b"ustar", b""])
@pytest.mark.parametrize("link", [b"0", b"\0"])
def test_every_kind_of_tar_passes_its_guard(magic, link):
    block = tar_block(link, magic)
    probe = Probe(path=Path("/nowhere/x.tar"), is_dir=False, nbytes=len(block), head=block)
    tar = next(lazy for lazy in LAZY if lazy.name == "torch-tar")
    assert tar.real.matches(probe)
    assert tar.may_match(probe)


def parts_of(package, marks: set[str]) -> set[type]:
    found = set()
    for info in pkgutil.iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            is_here = isinstance(value, type) and value.__module__ == module.__name__
            if is_here and all(hasattr(value, mark) for mark in marks):
                found.add(value)
    return found


def test_every_container_of_the_package_is_registered():
    assert parts_of(containers, {"name", "rank", "matches", "open", "scan"}) == {
        type(lazy.real) for lazy in LAZY
    }


def test_every_dialect_of_the_package_is_registered():
    registered = {type(dialect) for dialect in builtins.ckptkit_dialects()}
    assert parts_of(dialects, {"name", "title", "recognise", "interpret"}) == registered

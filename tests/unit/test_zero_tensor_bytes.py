"""`inspect`, `list` and a dry run read headers alone: no byte is read for a tensor's sake.

What a file is, is told by its two ends (the last 64 KiB may hold the end record of a zip), and the
pickles of a legacy file, which end where they say themselves, are read in windows from 64 KiB on;
a small piece of the first or last tensor can lie there.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ckptkit.containers import bytesource
from ckptkit.verbs.inspect import inspect
from ckptkit.verbs.listing import list_checkpoints
from ckptkit.verbs.migrate import MigrateOptions, migrate
from ckptkit.verbs.open import load

WORDS = 100_000
HEAD_NBYTES = 70_000
TAIL_NBYTES = 70_000


@pytest.fixture
def state():
    marks = np.random.default_rng(0).integers(0, 1 << 62, (3, WORDS))
    return {f"layers.{i}.weight": torch.from_numpy(row) for i, row in enumerate(marks)}


@pytest.fixture(params=["zip", "legacy", "safetensors", "v2"])
def checkpoint(request, state, tmp_path):
    path = tmp_path / f"model.{request.param}"
    if request.param == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=request.param != "legacy")
    if request.param == "v2":
        migrate(path, tmp_path / "sealed")
        return tmp_path / "sealed"
    return path


@pytest.fixture
def reads(monkeypatch):
    """Every (file, start, stop) that is read from now on."""
    seen = []

    def note(fd, start, nbytes):
        seen.append((Path(os.readlink(f"/proc/self/fd/{fd}")), start, start + nbytes))

    real_pread, real_preadv = os.pread, os.preadv

    def pread(fd, nbytes, offset):
        data = real_pread(fd, nbytes, offset)
        note(fd, offset, len(data))
        return data

    def preadv(fd, buffers, offset, *flags):
        nbytes = real_preadv(fd, buffers, offset, *flags)
        note(fd, offset, nbytes)
        return nbytes

    monkeypatch.setattr(bytesource.os, "pread", pread)
    monkeypatch.setattr(bytesource.os, "preadv", preadv)
    return seen


def touched(reads, state):
    """Bytes of tensors inside the ranges that were read, apart from the two ends of a file."""
    total = 0
    for path, start, stop in reads:
        data = path.read_bytes()
        first, last = max(start, HEAD_NBYTES), min(stop, len(data) - TAIL_NBYTES)
        for tensor in state.values():
            place = data.find(tensor.numpy().tobytes())
            if place >= 0:
                total += max(0, min(last, place + 8 * WORDS) - max(first, place))
    return total


def test_inspecting_touches_no_tensor(checkpoint, state, reads):
    inspection = inspect(checkpoint)
    assert inspection.total.tensors == 3
    assert reads
    assert touched(reads, state) == 0


def test_listing_and_a_dry_run_touch_none_either(checkpoint, state, reads):
    assert len(list_checkpoints(checkpoint.parent).rows) >= 1
    if checkpoint.is_file():
        migrate(checkpoint, checkpoint.parent / "out", MigrateOptions(dry_run=True))
    assert touched(reads, state) == 0


def test_asking_for_one_tensor_touches_that_one(checkpoint, state, reads):
    with load(checkpoint) as opened:
        data = next(t for t in opened.tensors() if t.name == "model/layers.1.weight").read()
    assert data == state["layers.1.weight"].numpy().tobytes()
    own = touched(reads, {"one": state["layers.1.weight"]})
    assert own >= 8 * WORDS - max(HEAD_NBYTES, TAIL_NBYTES), "its bytes were read, and seen here"
    assert touched(reads, state) == own

"""Checkpoints of every kind that the commands are tried on, and two ways to call them."""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from ckptkit.cli.main import app
from ckptkit.verbs.migrate import migrate


class Payload:
    """What an attacker pickles; only ever dumped here."""

    def __reduce__(self):
        return os.system, ("exit 3",)


@pytest.fixture
def call():
    """Run a command line in this process."""

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def spawn():
    """Run a command line in a process of its own."""

    def run(*words: object, **env: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "ckptkit.cli.main", *map(str, words)],
            capture_output=True, text=True, encoding="utf-8", check=False, timeout=60,
            env={**os.environ, "PYTHONUTF8": "1", **env},
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def training_state() -> dict:
    torch.manual_seed(0)
    layers = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(12)])
    optimizer = torch.optim.AdamW(layers.parameters(), lr=1e-3)
    sum(layer(torch.ones(4)).sum() for layer in layers).backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    return {
        "epoch": 7,
        "global_step": 16328,
        "model_state_dict": layers.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": schedule.state_dict(),
        "best_val_loss": 0.125,
        "config": {"lr": 1e-3, "precision": "16-mixed"},
    }


@pytest.fixture(scope="session")
def zoo(tmp_path_factory) -> Path:
    """One folder of checkpoints, whole and broken; nobody writes into it."""
    root = tmp_path_factory.mktemp("zoo")
    state = training_state()
    torch.save(state, root / "training.pt")
    torch.save(state["model_state_dict"], root / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(dict(state["model_state_dict"].items()), root / "weights.safetensors")
    big = torch.arange(1000.0)
    odd = torch.tensor([1.0, float("nan"), float("inf"), 0.0])
    torch.save({"a": big[:10], "b": big[10:20], "tied": big[:10], "odd": odd}, root / "views.pt")
    torch.save({"w": torch.zeros(2), "x": Payload()}, root / "evil.pt")
    torch.save({"model": {"w": torch.zeros(2)}, "args": argparse.Namespace(lr=1)}, root / "args.pt")
    whole = (root / "training.pt").read_bytes()
    (root / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (root / "empty.pt").touch()
    migrate(root / "training.pt", root / "sealed")
    return root


@pytest.fixture
def flipped(zoo, tmp_path):
    """Copy a checkpoint with one byte of one tensor changed."""

    def flip(name: str, at: bytes, shift: int = 0) -> Path:
        data = bytearray((zoo / name).read_bytes())
        data[data.index(at) + shift] ^= 0x40
        path = tmp_path / Path(name).name
        path.write_bytes(data)
        return path

    return flip


def evil_bytes() -> bytes:
    return pickle.dumps(Payload())

"""A plugin with one trainer, ``tiny``, written to a folder and installed there or in this process."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

from ckptkit.hooks import manager
from ckptkit.hooks.discovery import EntryPoint
from ckptkit.hooks.manager import Registry

PLUGIN = """
from ckptkit.plugin import Action, Trainer, hookimpl

@hookimpl
def ckptkit_trainers():
    return [Trainer(
        name="tiny", title="a line through points", config="tiny_config:Config",
        train="tiny_train:train", needs=({needs}), install="tiny[all]", versions={{"model": 1}},
        actions=(
            Action(name="sample", title="draw", options="tiny_config:Sample", call="tiny_deeds:sample"),
            Action(name="evaluate", title="measure", options="tiny_config:Evaluate",
                   call="tiny_deeds:evaluate"),
        ),
    )]
"""

CONFIG = """
from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

def option(default, text="", **told):
    return dataclasses.field(default=default, metadata={"help": text, **told})

@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    epochs: int = option(3, "epochs to reach")
    width: int = option(6, "hidden units", resume="architecture")
    act: Literal["relu", "gelu"] = option("relu", "nonlinearity", resume="architecture")
    precision: str = option("fp32", "of the computation", choices=("fp32", "bf16"))
    lr: float = option(0.1, "learning rate")
    betas: tuple[float, float] = (0.9, 0.999)
    batch_size: int = 4
    clip: float | None = None
    data: Path = Path()
    shuffle: bool = True
    fault: str = ""

    def __post_init__(self):
        if self.epochs < 0:
            raise ValueError("epochs is below 0")

@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    num_samples: int = option(4, "how many")
    out: str = "samples"

@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    limit: int = option(0, "samples, 0: all")
    fail: bool = False
"""

RECORDED = """
CALLS = []

def train(config, folder, **run_options):
    CALLS.append((config, folder, run_options))
"""

REAL = """
import os
import signal

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ckptkit

def train(config, folder, **run_options):
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 36).reshape(12, 3)
    data = TensorDataset(x, (x.sum(1) > 0).long())
    model = nn.Sequential(nn.Linear(3, config.width), nn.ReLU(), nn.Linear(config.width, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, betas=config.betas)
    loader = DataLoader(data, config.batch_size, shuffle=config.shuffle)
    with ckptkit.Run(
        folder, {"model": model, "optimizer": optimizer}, trainer="tiny", versions={"model": 1},
        config=config, save=ckptkit.SavePolicy(every_epochs=1, best="val_loss"), **run_options
    ) as run:
        for _ in run.epochs(config.epochs):
            for inputs, labels in run.batches(loader):
                if config.fault and run.step == 4:
                    fault(config.fault)
                loss = nn.functional.cross_entropy(model(inputs), labels)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                run.log(loss=loss)
            run.log(val_loss=nn.functional.cross_entropy(model(x), data.tensors[1]).item())

def fault(kind):
    if kind == "error":
        raise ValueError("a label is out of range")
    if kind == "oom":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    os.kill(os.getpid(), getattr(signal, kind))
"""

DEEDS = """
CALLS = []

def sample(checkpoint, config, options):
    CALLS.append((checkpoint, config, options))
    return {"pictures": [f"{options.out}/{n}.png" for n in range(options.num_samples)]}

def evaluate(checkpoint, config, options):
    CALLS.append((checkpoint, config, options))
    if options.fail:
        raise RuntimeError("no such metric")
    rows = [{"class": "roof", "iou": 0.5}, {"class": "road", "iou": float("nan")}]
    return {"loss": 0.25, "n": options.limit, "width": config.width, "classes": rows}
"""

MODULES = ("tiny_plugin", "tiny_config", "tiny_train", "tiny_deeds")


def write_plugin(folder: Path, *, real=False, needs="", config=CONFIG, plugin=PLUGIN) -> Path:
    """Write the distribution ``dist-tiny`` into a folder for PYTHONPATH."""
    info = folder / "dist_tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text("[ckptkit]\ntiny = tiny_plugin\n")
    (folder / "tiny_plugin.py").write_text(plugin.format(needs=needs))
    (folder / "tiny_config.py").write_text(config)
    (folder / "tiny_train.py").write_text(REAL if real else RECORDED)
    (folder / "tiny_deeds.py").write_text(DEEDS)
    return folder


@contextmanager
def installed(folder: Path):
    """Let the plugin in ``folder`` be the only one of this process, beside our own parts."""
    before, path = dict(manager._state), list(sys.path)
    sys.path.insert(0, str(folder))
    point = EntryPoint("tiny", "tiny_plugin", "dist-tiny", "1.0")
    manager._state["registry"] = Registry([point])
    try:
        yield
    finally:
        manager._state.update(before)
        sys.path[:] = path
        for name in MODULES:
            sys.modules.pop(name, None)


def calls(module="tiny_train"):
    """What was called in this process, with what."""
    return sys.modules[module].CALLS

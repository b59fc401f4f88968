"""A small real training with everything in it that a resume can get wrong."""

import copy
import hashlib
import json
import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from ckptkit.run.policy import SavePolicy
from ckptkit.run.retention import KeepBest, KeepLast, Retention
from ckptkit.run.run import Run


@dataclass(frozen=True)
class Features:
    """What one training is made of."""

    optimizer: str = "adamw"  # adamw, sgd, rmsprop
    lr: float = 0.01
    schedule: str = "cosine"  # cosine, plateau, onecycle, step
    scaler: bool = True
    ema: bool = True
    accumulate: int = 1
    workers: int = 0
    persistent: bool = False
    batch_size: int = 5
    epochs: int = 3
    every_steps: int = 3
    background: bool = False
    every_epochs: int = 1
    drop_last: bool = False


class Points(Dataset):
    """Points of two classes; every look adds noise from all three streams."""

    def __len__(self):
        return 37

    def __getitem__(self, index):
        own = torch.Generator().manual_seed(index)
        point = torch.randn(8, generator=own)
        noise = 0.1 * torch.randn(8) * random.random() + 0.05 * np.random.standard_normal()  # noqa: NPY002
        return index, (point + noise).float(), (point.sum() > 0).long()


def make_model():
    return nn.Sequential(
        nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 2)
    )


def make_optimizer(name, parameters, lr):
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=lr, centered=True)
    return torch.optim.AdamW(parameters, lr=lr, amsgrad=True)


def make_schedule(name, optimizer, total):
    if name == "plateau":
        return ReduceLROnPlateau(optimizer, patience=0, factor=0.7)
    if name == "onecycle":
        return OneCycleLR(optimizer, max_lr=0.02, total_steps=total + 1)
    if name == "step":
        return StepLR(optimizer, step_size=4, gamma=0.8)
    return CosineAnnealingLR(optimizer, total)


def train(folder, features, without=()):
    """Train in ``folder`` from wherever it stands, and write ``result.json`` at the end.

    ``without`` names parts that are left out of what a resume gets back: the ablation.
    """
    torch.set_num_threads(1)
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002
    torch.manual_seed(11)
    own = np.random.default_rng(5)
    model = make_model()
    optimizer = make_optimizer(features.optimizer, model.parameters(), features.lr)
    n_batches = -(-37 // features.batch_size)
    schedule = make_schedule(features.schedule, optimizer, n_batches * features.epochs)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=4)
    scaler = scaler if features.scaler else None
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)) if features.ema else None
    early = {"waited": 0, "lowest": 1e9}
    state = {
        "model": model, "optimizer": optimizer, "scheduler": schedule, "scaler": scaler,
        "ema": ema, "early": early,
    }  # fmt: skip
    state = {name: value for name, value in state.items() if value is not None}
    fresh = copy.deepcopy({n: v.state_dict() for n, v in state.items() if n != "early"})
    loader = DataLoader(
        Points(), batch_size=features.batch_size, shuffle=True, num_workers=features.workers,
        persistent_workers=features.persistent and features.workers > 0,
        drop_last=features.drop_last,
    )  # fmt: skip
    orders = Path(folder) / "orders.txt"
    orders.parent.mkdir(parents=True, exist_ok=True)
    policy = SavePolicy(
        every_steps=features.every_steps, every_epochs=features.every_epochs, best="val_loss",
        background=features.background,
    )  # fmt: skip
    run = Run(
        folder, state, resume="auto", config=asdict(features), save=policy, seed=3,
        retention=Retention(keep=KeepLast(3) | KeepBest(1)), generators={} if "own" in without else {"own": own},
        tell=lambda _text: None,
    )  # fmt: skip
    with run, orders.open("a") as log:
        for part in without:
            leave_out(part, run, state, fresh)
        for epoch in run.epochs(features.epochs):
            model.train()
            for index, x, y in run.batches(loader):
                log.write(f"{run.samples} {index.tolist()} {x.double().sum().item()!r}\n")
                log.flush()
                take_step(features, run, model, optimizer, scaler, x, y, own)
                if features.schedule != "plateau" and run.stepped:
                    schedule.step()
                if ema is not None and run.stepped:
                    ema.update_parameters(model)
            loss = evaluate(run, model)
            if features.schedule == "plateau":
                schedule.step(loss)
            early["waited"] = 0 if loss < early["lowest"] else early["waited"] + 1
            early["lowest"] = min(loss, early["lowest"])
        result = outcome(run, state, own, model)
    (Path(folder) / "result.json").write_text(json.dumps(result))


def take_step(features, run, model, optimizer, scaler, x, y, own):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=features.scaler):
        loss = nn.functional.cross_entropy(model(x), y) * (1 + 0.01 * own.random())
    loss = loss / features.accumulate
    (scaler.scale(loss) if scaler else loss).backward()
    run.log(train_loss=loss)
    if run.micro_batch % features.accumulate == features.accumulate - 1:
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        optimizer.zero_grad()


def evaluate(run, model):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for _, x, y in run.evaluate(DataLoader(Points(), batch_size=10)):
            loss = nn.functional.cross_entropy(model(x), y)
            run.log(val_loss=loss)
            total += loss.item()
    return total


def outcome(run, state, own, model):
    """Everything that must be equal to the bit."""
    digests = {name: digest(value.state_dict()) for name, value in state.items() if name != "early"}
    model.eval()
    with torch.no_grad():
        outputs = model(torch.arange(24.0).view(3, 8) / 10)
    history = dict(run.history)
    return {
        **digests,
        "early": repr(state["early"]),
        "rng": digest([random.getstate(), torch.get_rng_state(), np.random.get_state()]),  # noqa: NPY002
        "own": repr(own.bit_generator.state),
        "history": repr(history),
        "best": repr(run.best),
        "outputs": digest(outputs),
        "place": f"{run.epoch} {run.step} {run.samples}",
    }


def digest(value):
    """A digest of any nested state, tensors by their bytes."""
    hasher = hashlib.sha256()
    add_to(hasher, value)
    return hasher.hexdigest()


def add_to(hasher, value):
    if isinstance(value, torch.Tensor):
        hasher.update(f"{value.dtype}{tuple(value.shape)}".encode())
        hasher.update(value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray):
        hasher.update(value.tobytes())
    elif isinstance(value, dict):
        for key in value:
            hasher.update(repr(key).encode())
            add_to(hasher, value[key])
    elif isinstance(value, (list, tuple)):
        for one in value:
            add_to(hasher, one)
    else:
        hasher.update(repr(value).encode())


def leave_out(part, run, state, fresh):
    """Undo one part of what a resume gave back."""
    loop = run._loop
    if part in ("python", "numpy", "torch"):
        loop._pending = without_stream(loop._pending, part)
    elif part == "data":
        loop._feeds.claims.clear()
    elif part == "best":
        run._saver.best = run._saver.best._replace(value=None)
    elif part == "counters":
        loop.mark = replace(loop.mark, epochs=0)
    elif part == "means":
        loop.means.clear()
    elif part == "buffers":
        for buffer in state["model"].buffers():
            buffer.zero_()
    elif part == "early":
        state["early"].update(waited=0, lowest=1e9)
    elif part == "optimizer":
        state["optimizer"].state.clear()
    elif part != "own":  # as it was before anything was given back
        state[part].load_state_dict(fresh[part])


def without_stream(mark, part):
    """A mark one of whose streams is that of somebody else."""
    rng = mark.rng
    if part == "python":
        rng = rng._replace(python=random.Random(99).getstate())
    elif part == "numpy":
        rng = rng._replace(numpy=np.random.RandomState(99).get_state())
    else:
        rng = rng._replace(torch_cpu=torch.Generator().manual_seed(99).get_state())
    return replace(mark, rng=rng)

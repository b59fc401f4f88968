"""A small training to stop, break and resume in one process; the same seed gives the same bits."""

import copy
import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ckptkit.run.policy import SavePolicy
from ckptkit.run.run import Run

N_SAMPLES, BATCH = 12, 4  # three steps an epoch


def seeded(seed=1):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


class Small:
    """Live objects, a loader, and the loop over them; ``told`` is what the run said."""

    def __init__(self, *, lr=0.1, hidden=6, batch_size=BATCH, schedule=None, norm=False, **state):
        seeded()
        layers = [nn.Linear(3, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 2)]
        if norm:
            layers.insert(1, nn.BatchNorm1d(hidden))
        self.model = nn.Sequential(*layers)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)
        self.schedule = schedule(self.optimizer) if schedule else None
        self.state = {"model": self.model, "optimizer": self.optimizer}
        if self.schedule is not None:
            self.state["scheduler"] = self.schedule
        self.state |= state
        x = torch.arange(3.0 * N_SAMPLES).view(N_SAMPLES, 3) / 20
        self.data = TensorDataset(torch.arange(N_SAMPLES), x, (x.sum(1) > 2).long())
        self.loader = DataLoader(self.data, batch_size=batch_size, shuffle=True)
        self.told = []
        self.seen = []  # sample numbers, batch by batch

    def run(self, folder, *, save=None, **options):
        seeded(2)  # as a script does that is started anew
        options.setdefault("resume", "auto")
        save = SavePolicy(every_epochs=1, best="val_loss") if save is None else save
        return Run(folder, self.state, save=save, tell=self.told.append, **options)

    def train(self, folder, epochs=3, *, inside=None, tail=None, **options):
        """Train to the target. ``inside(run, moment)`` is called in each body, ``tail(run)`` in
        each evaluation; moments are "before", "after" the optimizer's step."""
        with self.run(folder, **options) as run:
            self.loop(run, epochs, inside or nothing, tail or nothing)
            self.last = run
        return run

    def loop(self, run, epochs, inside, tail):
        for _ in run.epochs(epochs):
            for batch in run.batches(self.loader):
                self.step(run, batch, inside)
            tail(run)
            run.log(val_loss=self.evaluate())
            if self.schedule is not None:
                self.schedule_step(run)

    def step(self, run, batch, inside):
        index, x, y = batch
        self.seen.append(index.tolist())
        inside(run, "before")
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        inside(run, "after")
        run.log(loss=loss)

    def schedule_step(self, run):
        if isinstance(self.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.schedule.step(self.evaluate())
        else:
            self.schedule.step()

    def evaluate(self):
        self.model.eval()
        with torch.no_grad():
            _, x, y = self.data[:]
            loss = nn.functional.cross_entropy(self.model(x), y).item()
        self.model.train()
        return loss

    @property
    def said(self):
        return "\n".join(self.told)

    def bits(self):
        """Everything that a resume must give back, as something to compare."""
        state = {name: copy.deepcopy(live.state_dict()) for name, live in self.state.items()
                 if hasattr(live, "state_dict")}  # fmt: skip
        streams = [torch.get_rng_state(), random.getstate()]
        return digest([state, streams])


def nothing(*_):
    pass


def digest(value):
    """A tree as text in which every bit shows."""
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{value.tolist()!r}"
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{k!r}:{digest(v)}" for k, v in sorted(value.items(), key=repr)) + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(digest, value)) + "]"
    return repr(value)


def raising_at(step, error, moment="before"):
    """An ``inside`` that raises in the body under way when so many steps are completed."""

    def inside(run, now):
        if now == moment and run.step == step:
            raise error

    return inside


def names(folder):
    """Names of the checkpoints of the only run below ``folder``."""
    return sorted(p.name for p in only_run(folder).joinpath("checkpoints").iterdir()
                  if not p.name.startswith("."))  # fmt: skip


def only_run(folder):
    (found,) = (p for p in folder.iterdir() if p.is_dir())
    return found


def trained(folder, epochs=3, **options):
    one = Small()
    one.train(folder, epochs, **options)
    return only_run(folder)


def resumed(folder, resume, epochs=3, **options):
    one = Small()
    one.train(folder, epochs, resume=resume, **options)
    return one


def came_from(one):
    """The checkpoint that it says it goes on from, and where that stands."""
    (line,) = (text for text in one.told if text.startswith("resumed from "))
    path, _, place = line.removeprefix("resumed from ").rpartition(": ")
    return path.rpartition("/")[2], place


class Worsening(Small):
    def evaluate(self):
        return [1.0, 0.5, 2.0, 3.0][self.epoch_of_run()]

    def epoch_of_run(self):
        return min(3, (len(self.seen) - 1) // 3 + self.offset)

    offset = 0

"""A training of several processes: ``torchrun --nproc-per-node 2 script.py FOLDER [HOW, JSON]``.

``die_at``: a step at which all are killed. ``signalled``: one at which the second gets SIGTERM.
``moment``, ``countdown``: where the second is killed, as in ``ckptkit.testing.killing``.
``spoiled``: a step at which the second is killed, and what it kept is "torn" or "absent".
"""

import hashlib
import json
import os
import random
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from ckptkit.run.kept_streams import FOLDER
from ckptkit.run.policy import SavePolicy
from ckptkit.run.run import Run
from ckptkit.storage.slots import SLOT_NBYTES
from ckptkit.testing.killing import signal_at


class Points(Dataset):
    def __len__(self):
        return 41

    def __getitem__(self, index):
        own = torch.Generator().manual_seed(index)
        point = torch.randn(6, generator=own)
        return point + 0.1 * torch.randn(6) * random.random(), (point.sum() > 0).long()


def spoil(run, how):
    """Let what this process has kept be of no use, as a machine that fails may."""
    (kept,) = (run.folder / FOLDER).glob("1")
    if how == "absent":
        kept.unlink()
        return
    with kept.open("r+b") as file:
        for start in range(0, kept.stat().st_size, SLOT_NBYTES):
            file.seek(start + 100)
            file.write(b"torn")


def main():
    folder, how = sys.argv[1], json.loads(sys.argv[2])
    die_at, signalled = how.get("die_at", -1), how.get("signalled", -1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 2))
    torch.manual_seed(100 + rank)  # streams of its own, as dropout of each rank needs them
    random.seed(rank)
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    sampler = DistributedSampler(Points(), shuffle=True)
    loader = DataLoader(Points(), batch_size=4, sampler=sampler)
    if rank == 1 and "moment" in how:
        signal_at(how["moment"], how["countdown"], group=False)
    state = {"model": model, "optimizer": optimizer}
    with Run(folder, state, resume="auto", save=SavePolicy(every_steps=2)) as run:
        for _ in run.epochs(3):
            for x, y in run.batches(loader):
                if run.step == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                if run.step == how.get("spoiled", -1) and rank == 1:
                    spoil(run, how["spoil"])
                    os.kill(os.getpid(), signal.SIGKILL)
                if run.step == signalled and rank == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                loss = nn.functional.cross_entropy(wrapped(x), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                run.log(loss=loss)
    hasher = hashlib.sha256()
    for tensor in model.state_dict().values():
        hasher.update(tensor.numpy().tobytes())
    hasher.update(torch.get_rng_state().numpy().tobytes())
    hasher.update(repr(random.getstate()).encode())
    Path(folder, f"digest-{rank}").write_text(hasher.hexdigest() + f" {run.samples}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

"""A training of several processes: ``torchrun --nproc-per-node 2 script.py FOLDER [DIE_AT_STEP]``."""

import hashlib
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

from ckptkit.run.policy import SavePolicy
from ckptkit.run.run import Run


class Points(Dataset):
    def __len__(self):
        return 41

    def __getitem__(self, index):
        own = torch.Generator().manual_seed(index)
        point = torch.randn(6, generator=own)
        return point + 0.1 * torch.randn(6) * random.random(), (point.sum() > 0).long()


def main():
    folder, die_at, signalled = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
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
    state = {"model": model, "optimizer": optimizer}
    with Run(folder, state, resume="auto", save=SavePolicy(every_steps=2)) as run:
        for _ in run.epochs(3):
            for x, y in run.batches(loader):
                if run.step == die_at:
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

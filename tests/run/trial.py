"""A training script as a user would write it; the trials in the shell run it.

python -m tests.run.trial runs/demo --epochs 3
"""

import argparse
import errno
import os
import signal

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ckptkit

FAULTS = []  # what must live as long as the process


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--hidden", type=int, default=6)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--resume")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--max-time", type=float)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--shift", type=float, default=0.0, help="Other data.")
    return parser.parse_args()


def main(args):
    torch.manual_seed(0)
    x = torch.from_numpy(np.linspace(-1, 1, 36, dtype=np.float32).reshape(12, 3)) + args.shift
    data = TensorDataset(x, (x.sum(1) > 0).long())
    model = nn.Sequential(nn.Linear(3, args.hidden), nn.ReLU(), nn.Linear(args.hidden, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9)
    loader = DataLoader(data, args.batch_size, shuffle=True, num_workers=args.workers)

    def loss_of_all():
        return nn.functional.cross_entropy(model(x), data.tensors[1])

    settings = ("epochs", "lr", "batch_size", "precision", "hidden")
    with ckptkit.Run(
        args.folder, {"model": model, "optimizer": optimizer, "scheduler": schedule},
        config={name: getattr(args, name) for name in settings}, policies={"hidden": "architecture"},
        resume=args.resume, force=args.force, max_time_s=args.max_time,
        save=ckptkit.SavePolicy(best="val_loss"),
        probe=loss_of_all if args.self_test else None, self_test=args.self_test,
    ) as run:  # fmt: skip
        for _ in run.epochs(args.epochs):
            for inputs, labels in run.batches(loader):
                fault(run)
                with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
                    loss = nn.functional.cross_entropy(model(inputs), labels)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                run.log(loss=loss)
            schedule.step()
            with torch.no_grad():
                for inputs, labels in run.evaluate(DataLoader(data, len(data))):
                    fault(run, evaluating=True)
                    run.log(val_loss=nn.functional.cross_entropy(model(inputs), labels))


def fault(run, *, evaluating=False):
    """What a user's script does not have: faults on order, as KIND@STEP in TRIAL_FAULT.

    Those of a kind that ends in "-evaluating" come in an evaluation.
    """
    kind, _, step = os.environ.get("TRIAL_FAULT", "").partition("@")
    kind, wanted, _ = kind.partition("-evaluating")
    if evaluating != bool(wanted):
        return
    if kind == "say":
        print("step", run.step, flush=True)
    if not kind or run.step != int(step):
        return
    if kind.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[kind])
    if kind == "twice":
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    if kind == "error":
        raise ValueError("a label is out of range")
    if kind == "oom":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if kind == "wait":  # until somebody sends a signal
        print("waiting", flush=True)
        signal.pause()
    if kind == "full":
        from ckptkit.testing.faults import failing_at, intercepted

        FAULTS.append(intercepted(failing_at(1, errno.ENOSPC, ("write", "pwrite"), lasting=True)))
        FAULTS[0].__enter__()


if __name__ == "__main__":
    main(parse())

"""How the golden files were made, once: ``python tests/golden/make_golden.py``. Needs torch.

It refuses to touch a file that exists. A golden file is evidence of what an older version wrote:
when a format grows, new files join the old ones, and no test ever writes one.
"""

import json
import sys
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
LEDGER = HERE / "ledger.json"


def weights():
    """A tiny state_dict: a tie, a bfloat16, a 0-d, an empty and a non-contiguous tensor."""
    import torch

    tied = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    state = OrderedDict()
    state["embed.weight"] = tied
    state["head.weight"] = tied
    state["head.bias"] = torch.tensor([1.5, -0.0], dtype=torch.bfloat16)
    state["norm.num_batches_tracked"] = torch.tensor(12, dtype=torch.int64)
    state["empty"] = torch.zeros(0, 4, dtype=torch.float16)
    state["turned"] = torch.arange(6, dtype=torch.int16).reshape(2, 3).t()
    state._metadata = OrderedDict({"": {"version": 1}, "norm": {"version": 2}})
    return state


def training_dict():
    """A version 1 checkpoint as a script of 2023 saved it after epoch index 6."""
    import torch

    model = weights()
    moments = {
        "step": torch.tensor(70.0),
        "exp_avg": torch.full((2, 3), 0.25),
        "exp_avg_sq": torch.full((2, 3), 0.5),
    }
    group = {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        "params": [0],
    }
    return {
        "epoch": 6,
        "global_step": 70,
        "model_state_dict": model,
        "optimizer_state_dict": {"state": {0: moments}, "param_groups": [group]},
        "scheduler_state_dict": {"last_epoch": 7, "_last_lr": [1e-3], "milestones": {3, 5}},
        "scaler_state_dict": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 70},
        "best_acc": 0.875,
        "history": {"train_loss": [0.5, 0.25], "val_loss": [0.5, float("nan")]},
        "config": {"lr": 1e-3, "name": "gölden", "size": (2, 3), "dtype": torch.bfloat16, 7: None},
    }


def make():
    """Write every golden file that is missing, and the ledger of all."""
    import torch

    from ckptkit.verbs.migrate import MigrateOptions, migrate

    if (HERE / "v2").exists() or (HERE / "v0.pt").exists() or (HERE / "v1.pt").exists():
        sys.exit("a golden file exists already and is never made again")
    torch.save(weights(), HERE / "v0.pt")
    torch.save(training_dict(), HERE / "v1.pt")
    migrate(HERE / "v1.pt", HERE / "v2", MigrateOptions(created="2025-01-01T00:00:00Z"))
    files = sorted(
        p
        for p in HERE.rglob("*")
        if p.is_file() and p.suffix in (".pt", ".safetensors", ".msgpack")
    )
    digests = {p.relative_to(HERE).as_posix(): sha256(p.read_bytes()).hexdigest() for p in files}
    LEDGER.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    make()

"""What the seed's own U-Net code wrote: its network, its checkpoints and its run folder."""

import json
import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


class DoubleConv(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)

    def forward(self, x):
        return functional.relu(self.conv2(functional.relu(self.conv1(x))))


class OldUNet(nn.Module):
    """The network by its old names; what rises from below stands before the skip."""

    def __init__(self, channels=3, width=8, depth=2):
        super().__init__()
        self.depth = depth
        inner = channels
        for level in range(1, depth + 1):
            outer = width << (level - 1)
            setattr(self, f"enc{level}", DoubleConv(inner, outer))
            setattr(self, f"up{level}", nn.ConvTranspose2d(2 * outer, outer, 2, stride=2))
            setattr(self, f"dec{level}", DoubleConv(2 * outer, outer))
            inner = outer
        self.bottleneck = DoubleConv(inner, 2 * inner)
        self.out = nn.Conv2d(width, channels, 1)

    def forward(self, noisy):
        x, skips = noisy, {}
        for level in range(1, self.depth + 1):
            x = skips[level] = getattr(self, f"enc{level}")(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for level in range(self.depth, 0, -1):
            x = torch.cat([getattr(self, f"up{level}")(x), skips[level]], 1)
            x = getattr(self, f"dec{level}")(x)
        return noisy - self.out(x)


class OldTraining:
    """A training as the notebooks did it: one step a batch, the schedule once an epoch."""

    def __init__(self, planned=6, lr=1e-3, steps=3):
        torch.manual_seed(11)
        self.model = OldUNet()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=planned)
        self.history = {name: [] for name in COLUMNS}
        self.steps = steps
        self.epoch = 0

    def half_an_epoch(self):
        self._step()
        return self

    def _step(self):
        clean = torch.rand(2, 3, 16, 16)
        loss = (self.model(clean + 0.1 * torch.randn_like(clean)) - clean).abs().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def train(self, n_epochs):
        for _ in range(n_epochs):
            for _ in range(self.steps):
                self._step()
            self.epoch += 1
            for name, column in self.history.items():
                column.append(round(0.01 * math.exp(-self.epoch) + len(name) / 1e4, 6))
            self.history["lr"][-1] = self.scheduler.get_last_lr()[0]
            self.scheduler.step()
        return self

    def old_format(self):
        """Weights alone, as the first notebooks wrote them."""
        return self.model.state_dict()

    def new_format(self):
        """The keys of the guide's "Checkpoint Contents"."""
        last = {name: column[-1] for name, column in self.history.items()}
        return {
            "epoch": self.epoch,
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
            "metrics": {
                split: {name: last[f"{split}_{name}"] for name in ("loss", "l1", "ssim")}
                for split in ("train", "val")
            },
        }


COLUMNS = ("train_loss", "train_l1", "train_ssim", "val_loss", "val_l1", "val_ssim", "lr")


def old_experiment(root: Path, training: OldTraining, name="20251230_153045_v1", **files):
    """Write a run folder of the guide's "Files in Experiment Directory"."""
    folder = root / name
    for place in ("checkpoints", "samples", "logs/tensorboard_logs"):
        (folder / place).mkdir(parents=True)
    for file_name, content in files.items():
        torch.save(content, folder / "checkpoints" / f"{file_name}.pth")
    (folder / "config.json").write_text(json.dumps({"batch_size": 8, "num_workers": 4}))
    (folder / "history.json").write_text(json.dumps(training.history))
    return folder

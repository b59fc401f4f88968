"""Checkpoints as the scripts of seeds 002 and 004 wrote them: by torch.save, with their names.

The old models are modules of their own here, so that what they compute can be compared with what
today's model computes from the migrated weights.
"""

import torch
from torch import nn
from torch.nn import functional

from ckptkit_trainers.segmentation import buildformer
from ckptkit_trainers.segmentation.config import Config
from ckptkit_trainers.segmentation.segformer import new_segformer

WIDTH, WINDOW, SIZE = 8, 4, 32


# -- the old U-Net --------------------------------------------------------------------------------


class DoubleConv(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
            nn.Conv2d(outside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inside, outside))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.up = nn.ConvTranspose2d(inside, outside, 2, stride=2)
        self.conv = DoubleConv(inside, outside)

    def forward(self, x, before):
        return self.conv(torch.cat([before, self.up(x)], dim=1))


class OutConv(nn.Module):
    def __init__(self, inside):
        super().__init__()
        self.conv = nn.Conv2d(inside, 1, 1)

    def forward(self, x):
        return self.conv(x)


class OldUNet(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.inc = DoubleConv(3, width)
        for n in range(1, 5):
            setattr(self, f"down{n}", Down(width * 2 ** (n - 1), width * 2**n))
        for n in range(1, 5):
            setattr(self, f"up{n}", Up(width * 2 ** (5 - n), width * 2 ** (4 - n)))
        self.outc = OutConv(width)

    def forward(self, x):
        seen = [self.inc(x)]
        for n in range(1, 5):
            seen.append(getattr(self, f"down{n}")(seen[-1]))
        x = seen.pop()
        for n in range(1, 5):
            x = getattr(self, f"up{n}")(x, seen.pop())
        return self.outc(x)


# -- the old BuildFormer: query, key and value in one matrix --------------------------------------


class OldAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.window, self.heads = WINDOW, max(1, width // 16)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        """The weight of every pair of pixels of a window, one by one: slow, and plain to see."""
        n, height, width, channels = x.shape
        out = torch.zeros_like(x)
        for y in range(0, height, self.window):
            for z in range(0, width, self.window):
                here = x[:, y : y + self.window, z : z + self.window]
                shape = here.shape[:3]
                parts = self.qkv(here).view(n, -1, 3, self.heads, channels // self.heads)
                q, k, v = parts.permute(2, 0, 3, 1, 4)
                q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
                weights = 1 + q @ k.transpose(-1, -2)
                found = weights @ v / weights.sum(-1, keepdim=True)
                out[:, y : y + self.window, z : z + self.window] = (
                    found.transpose(1, 2).reshape(*shape, channels)
                )  # fmt: skip
        return self.proj(out)


class OldMlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.dwconv = nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        x = self.fc1(x)
        near = self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc2(functional.gelu(x + near))


class OldBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), OldAttention(width)
        self.norm2, self.mlp = nn.LayerNorm(width), OldMlp(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class OldStage(nn.Module):
    def __init__(self, inside, width):
        super().__init__()
        self.downsample = nn.Conv2d(inside, width, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(OldBlock(width) for _ in range(2))

    def forward(self, x):
        x = self.norm(self.downsample(x).permute(0, 2, 3, 1))
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)


class OldBuildFormer(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        widths, conv = [width, 2 * width, 4 * width, 8 * width], buildformer.convolved
        self.backbone = nn.Module()
        self.backbone.stem = conv(3, width, 2)
        pairs = zip([width, *widths], widths, strict=False)
        self.backbone.stages = nn.ModuleList(OldStage(a, b) for a, b in pairs)
        self.spatial_path = nn.Sequential(
            conv(3, width, 2), conv(width, width), conv(width, 2 * width, 2), conv(2 * width, 2 * width)
        )  # fmt: skip
        self.fpn = nn.Module()
        self.fpn.lateral = nn.ModuleList(nn.Conv2d(one, 2 * width, 1) for one in widths)
        self.fuse = nn.Sequential(conv(4 * width, 2 * width), conv(2 * width, 2 * width))
        self.seg_head = nn.Conv2d(2 * width, 1, 1)

    def forward(self, x):
        far, seen = self.backbone.stem(x), []
        for stage, lateral in zip(self.backbone.stages, self.fpn.lateral, strict=True):
            far = stage(far)
            seen.append(lateral(far))
        context = seen[-1]
        for one in seen[-2::-1]:
            context = one + buildformer.enlarged(context, one)
        joined = self.fuse(torch.cat((context, self.spatial_path(x)), 1))
        return buildformer.enlarged(self.seg_head(joined), x)


# -- SegFormer under the names of transformers 4 --------------------------------------------------

PLACES = ("patch_embeddings", "blocks", "layer_norm")
IN_A_BLOCK = (
    ("layernorm_before", "layer_norm_1"), ("attention.q_proj", "attention.self.query"),
    ("attention.k_proj", "attention.self.key"), ("attention.v_proj", "attention.self.value"),
    ("attention.sequence_reduction.sequence_reduction", "attention.self.sr"),
    ("attention.sequence_reduction.layer_norm", "attention.self.layer_norm"),
    ("attention.o_proj", "attention.output.dense"), ("layernorm_after", "layer_norm_2"),
    ("mlp.fc1", "mlp.dense1"), ("mlp.dwconv", "mlp.dwconv"), ("mlp.fc2", "mlp.dense2"),
)  # fmt: skip


def old_name(name):
    """The name of a tensor in transformers 4, and its place in the order of that model."""
    parts = name.split(".")
    if parts[0] == "decode_head":
        return name.replace("linear_projections", "linear_c"), (9,)
    stage, kind, rest = int(parts[2]), parts[3], ".".join(parts[4:])
    if kind != "blocks":
        return f"segformer.encoder.{kind}.{stage}.{rest}", (PLACES.index(kind), stage)
    inner = ".".join(parts[5:])
    number, (new, old) = next((n, p) for n, p in enumerate(IN_A_BLOCK) if inner.startswith(p[0]))
    told = f"segformer.encoder.block.{stage}.{parts[4]}.{inner.replace(new, old, 1)}"
    return told, (PLACES.index(kind), stage, int(parts[4]), number)


class OldSegformer(nn.Module):
    """Today's module with the names and the order of parameters that transformers 4 gave it."""

    def __init__(self):
        super().__init__()
        self.today = new_segformer(Config(model="segformer", variant="micro"))

    def _in_old_order(self, pairs):
        return sorted(((old_name(n), value) for n, value in pairs), key=lambda one: one[0][1])

    def parameters(self, recurse=True):
        return (value for _, value in self._in_old_order(self.today.named_parameters()))

    def state_dict(self):
        return {
            name: value for (name, _), value in self._in_old_order(self.today.state_dict().items())
        }

    def forward(self, x):
        return buildformer.enlarged(self.today(x).logits, x)


# -- the scripts ----------------------------------------------------------------------------------

OLD = {"unet": OldUNet, "buildformer": OldBuildFormer, "segformer": OldSegformer}


def old_training(model, epochs, steps, *, lr=1e-3, scheduled=True):
    """Train an old model for a while, as those scripts did; return what they held at its end."""
    torch.manual_seed(3)
    net = OLD[model]()
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2 * epochs)
    for _ in range(epochs):
        for _ in range(steps):
            x = torch.rand(2, 3, SIZE, SIZE)
            optimizer.zero_grad()
            functional.binary_cross_entropy_with_logits(
                net(x), (x.mean(1, True) > 0.5).float()
            ).backward()
            optimizer.step()
        if scheduled:
            schedule.step()
    return net.eval(), optimizer, schedule


def noon2(path, epochs=4, steps=2, model="unet"):
    """Seed 002: last_checkpoint.pt, written after every epoch."""
    net, optimizer, schedule = old_training(model, epochs, steps)
    torch.save({
        "epoch": epochs, "model_state_dict": net.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(), "scheduler_state_dict": schedule.state_dict(),
        "scaler_state_dict": torch.amp.GradScaler("cpu").state_dict(), "best_val_loss": 0.0123,
        "history": {"train_loss": [0.5] * epochs, "val_loss": [0.6] * epochs, "lr": [1e-3] * epochs},
        "config": {"batch_size": 8, "learning_rate": 1e-3, "image_size": SIZE},
    }, path)  # fmt: skip
    return net, optimizer, schedule


def conbuildseg(path, model, epochs=4, steps=2):
    """Seed 004: epoch_N.pth of SegFormer and of BuildFormer, and final_model.pth."""
    net, optimizer, _ = old_training(model, epochs, steps, lr=2e-5, scheduled=False)
    torch.save({
        "epoch": epochs, "model_state_dict": net.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "train_loss": [0.5] * epochs, "val_loss": [0.6] * epochs,
        "metrics": [{"iou": 0.7, "f1": 0.8}] * epochs,
    }, path)  # fmt: skip
    return net, optimizer

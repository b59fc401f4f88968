"""What the seed's own text2sign code wrote: its model by its old names, its checkpoints."""

import torch
from torch import nn

from ckptkit_trainers.diffusion.config import Config
from ckptkit_trainers.diffusion.model import build

TINY = {
    "epochs": 2, "batch_size": 4, "clips": 20, "val_clips": 5, "frames": 2, "patch": 4, "channels": 8,
    "text_width": 8, "text_layers": 1, "vocabulary": 24, "sample_every": 2, "sample_steps": 2,
    "prompts": "three moving left; one moving up", "tensorboard": False,
}  # fmt: skip


class OldModel(nn.Module):
    """The model as it was: text_model inside the encoder, keys and values in one matrix."""

    def __init__(self, config):
        super().__init__()
        now = build(config).state_dict()
        for name, tensor in now.items():
            if name.endswith(".to_v.weight"):
                continue
            if name.endswith(".to_k.weight"):
                value = now[name.replace(".to_k.", ".to_v.")]
                self.put(name.replace(".to_k.", ".to_kv."), torch.cat([tensor, value]))
            elif name.startswith("text."):
                self.put("text_encoder.text_model." + name.removeprefix("text."), tensor)
            else:
                self.put(name.replace("project.", "text_projection."), tensor)

    def put(self, name, tensor):
        *rooms, last = name.split(".")
        module = self
        for room in rooms:
            if not hasattr(module, room):
                module.add_module(room, nn.Module())
            module = getattr(module, room)
        module.register_parameter(last, nn.Parameter(tensor.clone()))


class OldTraining:
    """A training as the seed did it: a step a batch, the schedule once an epoch."""

    def __init__(self, planned=3, steps=5):
        torch.manual_seed(11)
        self.model = OldModel(Config(**TINY))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=planned)
        self.steps, self.epoch, self.global_step = steps, 0, 0

    def train(self, n_epochs, extra_steps=0):
        """Gradients are drawn: nobody looks at what it learned, but at what of it goes on."""
        for _ in range(n_epochs):
            self.walk(self.steps)
            self.scheduler.step()
            self.epoch += 1
        self.walk(extra_steps)
        return self

    def walk(self, n_steps):
        for _ in range(n_steps):
            for parameter in self.model.parameters():
                parameter.grad = 0.1 * torch.randn_like(parameter)
            self.optimizer.step()
            self.global_step += 1

    def checkpoint(self, epoch):
        """The keys that are restored in the seed's guide, "Training State Restoration"."""
        return {
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
            "epoch": epoch,
            "global_step": self.global_step,
        }

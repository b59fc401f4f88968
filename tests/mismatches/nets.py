"""Small networks of the usual parts, with names as real ones have them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class Attention(nn.Module):
    """Three projections, or one that is all three."""

    def __init__(self, width: int, *, fused: bool = False) -> None:
        super().__init__()
        if fused:
            self.qkv_proj = nn.Linear(width, 3 * width)
        else:
            self.q_proj = nn.Linear(width, width)
            self.k_proj = nn.Linear(width, width)
            self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)


class Block(nn.Module):
    def __init__(self, width: int, *, fused: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attn = Attention(width, fused=fused)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)


class Net(nn.Module):
    """An embedding, some blocks under a name that may change, a head."""

    def __init__(self, *, depth: int = 3, width: int = 8, vocabulary: int = 20, classes: int = 10,
                 blocks: str = "blocks", fused: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        stack = nn.ModuleList(Block(width, fused=fused) for _ in range(depth))
        self.add_module(blocks, stack)
        self.head = nn.Linear(width, classes)


class Backwards(nn.Module):
    """The parts of ``Net`` in the opposite order."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 10)
        self.blocks = nn.ModuleList(Block(8) for _ in range(3))
        self.embed = nn.Embedding(20, 8)


class Convolutions(nn.Module):
    """Convolutions with batch norms; ``wrap`` puts a parametrization on each convolution."""

    def __init__(self, wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer) -> None:
        super().__init__()
        self.stem = nn.Sequential(wrap(nn.Conv2d(3, 6, 3)), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Sequential(wrap(nn.Conv2d(6, 6, 3)), nn.BatchNorm2d(6), nn.ReLU())
        self.fc = nn.Linear(6, 4)


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.blocks = nn.ModuleList(Block(8) for _ in range(2))
        self.lm_head = nn.Linear(8, 20, bias=False)
        self.lm_head.weight = self.embed.weight


class Wrapper(nn.Module):
    """What data parallel wrappers do to names: everything is below ``module``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class Twins(nn.Module):
    """Layers of one shape, registered in the order that is given."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(6, 6))


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a network whose every tensor is its own; trained ones have the seed 1, new ones 2."""
    torch.manual_seed(seed)
    model = make()
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data = torch.rand_like(tensor.data) + 0.1
        else:
            tensor.data = tensor.data + 100 * seed
    return model

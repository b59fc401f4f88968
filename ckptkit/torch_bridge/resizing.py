"""Tensors whose shapes differ: the corner that both have, and what a caller made fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ckptkit.nodes import TensorNode


def corner(tensor: torch.Tensor, node: TensorNode) -> tuple[torch.Tensor, TensorNode]:
    """Return views of both sides that show the first rows and columns that both have.

    Shapes: of one rank.
    """
    shape = tuple(map(min, tensor.shape, node.shape))
    view = tensor.detach()[tuple(slice(0, size) for size in shape)]
    return view, replace(node, shape=shape)


def put(live: torch.Tensor, made: Any) -> bool:
    """Copy a tensor of the same shape into the live one; False if it is none."""
    if not isinstance(made, torch.Tensor) or made.shape != live.shape:
        return False
    with torch.no_grad():
        live.copy_(made)
    return True

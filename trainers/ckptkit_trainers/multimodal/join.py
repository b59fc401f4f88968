"""The transformer over the joined latents."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Join(nn.Module):
    """Lets latents of any modalities look at each other; the first place sums them up."""

    def __init__(self, width: int, n_layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.summary = nn.Parameter(0.02 * torch.randn(width))
        self.layers = nn.ModuleList(Layer(width, heads, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, values: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Shapes: values [B, T, width], there [B, T] -> [B, 1 + T, width]."""
        summary = self.summary.expand(len(values), 1, -1)
        joined = torch.cat([summary.to(values.dtype), values], dim=1)
        mask = functional.pad(there, (1, 0), value=True)[:, None, None]
        for layer in self.layers:
            joined = layer(joined, mask)
        normed: torch.Tensor = self.norm(joined)
        return normed


class Layer(nn.Module):
    """Attention with query, key and value apart, then two linear maps; norms come first."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, joined: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Shapes: joined [B, T, width], mask [B, 1, 1, T]."""
        share = self.dropout if self.training else 0.0
        normed = self.norm1(joined)
        q, k, v = (self._heads(part(normed)) for part in (self.q, self.k, self.v))
        looked = functional.scaled_dot_product_attention(q, k, v, mask, dropout_p=share)
        joined = joined + functional.dropout(
            self.out(looked.transpose(1, 2).flatten(2)), share, self.training
        )
        thought = self.down(functional.gelu(self.up(self.norm2(joined))))
        return joined + functional.dropout(thought, share, self.training)

    def _heads(self, values: torch.Tensor) -> torch.Tensor:
        batch, length, width = values.shape
        return values.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

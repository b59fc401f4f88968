"""A small GPT in the four shapes that it had: one class, because only four lines ever changed."""

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, DEPTH, CONTEXT = 32, 4, 3, 16


class Attention(nn.Module):
    """Causal self-attention; from generation 3 on its projections are apart."""

    def __init__(self, generation: int) -> None:
        super().__init__()
        if generation < 3:
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        else:
            self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fused = hasattr(self, "qkv")
        parts = self.qkv(x).chunk(3, -1) if fused else (self.q(x), self.k(x), self.v(x))
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(seen.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    def __init__(self, generation: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention(generation)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


class Gpt(nn.Module):
    """Generation 2 calls its blocks layers, 3 takes q, k and v apart, 4 knows more words."""

    def __init__(self, generation: int) -> None:
        super().__init__()
        self.container = "blocks" if generation < 2 else "layers"
        n_words = 96 if generation < 4 else 128
        self.words = nn.Embedding(n_words, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        setattr(self, self.container, nn.ModuleList(Block(generation) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, n_words, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        for block in getattr(self, self.container):
            x = block(x)
        return self.head(self.norm(x))


def generation_1() -> Gpt:
    return Gpt(1)


def generation_2() -> Gpt:
    return Gpt(2)


def generation_3() -> Gpt:
    return Gpt(3)


def generation_4() -> Gpt:
    return Gpt(4)

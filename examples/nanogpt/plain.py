"""Train a small GPT on characters, the way nanoGPT does: random crops, AdamW, warm-up and cosine.

The text is the language reference that comes with Python, so there is nothing to download.
``python plain.py --out runs/gpt`` trains for a minute or two on a CPU.
"""

import argparse
import math
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """One transformer block: causal attention, then a feed-forward net, each behind a norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, width = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(n, t, width))
        return x + self.mlp(self.norm_2(x))


class GPT(nn.Module):
    """A decoder over characters; the last layer shares its weights with the embedding."""

    def __init__(self, vocab: int, args: argparse.Namespace) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab, args.n_embd)
        self.places = nn.Embedding(args.block_size, args.n_embd)
        self.blocks = nn.Sequential(
            *(Block(args.n_embd, args.n_head, args.dropout) for _ in range(args.n_layer))
        )
        self.norm = nn.LayerNorm(args.n_embd)
        self.head = nn.Linear(args.n_embd, vocab, bias=False)
        self.head.weight = self.tokens.weight
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                scale = math.sqrt(2 * args.n_layer) if name.endswith("proj.weight") else 1.0
                nn.init.normal_(p, std=0.02 / scale)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        h = self.tokens(x) + self.places.weight[: x.shape[1]]
        logits = self.head(self.norm(self.blocks(h)))
        return functional.cross_entropy(logits.flatten(0, 1), y.flatten())


def read_text() -> tuple[dict[str, torch.Tensor], int]:
    """The text as numbers, in two splits, and how many characters there are."""
    text = "".join(topics[name] for name in sorted(topics))
    letters = {letter: number for number, letter in enumerate(sorted(set(text)))}
    numbers = torch.tensor([letters[letter] for letter in text])
    cut = int(0.9 * len(numbers))
    return {"train": numbers[:cut], "val": numbers[cut:]}, len(letters)


def get_batch(data: torch.Tensor, args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """Random crops, and the same crops one character later."""
    starts = torch.randint(len(data) - args.block_size, (args.batch_size,)).tolist()
    x = torch.stack([data[i : i + args.block_size] for i in starts])
    y = torch.stack([data[i + 1 : i + 1 + args.block_size] for i in starts])
    return x, y


def make_optimizer(model: GPT, args: argparse.Namespace) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves biases and norms alone."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": args.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=args.learning_rate, betas=(0.9, 0.99))


def get_lr(it: int, args: argparse.Namespace) -> float:
    """Warm up linearly, then come down to a tenth along a cosine."""
    if it < args.warmup_iters:
        return float(args.learning_rate * (it + 1) / (args.warmup_iters + 1))
    done = (it - args.warmup_iters) / max(1, args.max_iters - args.warmup_iters)
    lowest = args.learning_rate / 10
    return float(lowest + 0.5 * (1 + math.cos(math.pi * done)) * (args.learning_rate - lowest))


@torch.no_grad()
def estimate_loss(
    model: GPT, data: dict[str, torch.Tensor], args: argparse.Namespace
) -> dict[str, float]:
    """The mean loss of a few random batches of each split."""
    model.eval()
    losses = {
        split: sum(model(*get_batch(part, args)).item() for _ in range(args.eval_iters))
        for split, part in data.items()
    }
    model.train()
    return {split: total / args.eval_iters for split, total in losses.items()}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    for name, value in {
        "max_iters": 1000, "eval_interval": 100, "eval_iters": 10, "batch_size": 16,
        "gradient_accumulation_steps": 2, "block_size": 64, "n_layer": 4, "n_head": 4,
        "n_embd": 128, "dropout": 0.1, "learning_rate": 1e-3, "warmup_iters": 50,
        "weight_decay": 0.1, "grad_clip": 1.0, "seed": 1337,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    data, vocab = read_text()
    model = GPT(vocab, args)
    optimizer = make_optimizer(model, args)

    for it in range(args.max_iters):
        for group in optimizer.param_groups:
            group["lr"] = get_lr(it, args)
        if it % args.eval_interval == 0:
            losses = estimate_loss(model, data, args)
            print(f"{it}: train {losses['train']:.4f}, val {losses['val']:.4f}", flush=True)
        for _ in range(args.gradient_accumulation_steps):
            loss = model(*get_batch(data["train"], args)) / args.gradient_accumulation_steps
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    final = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(final, args.out / "final.pt")


if __name__ == "__main__":
    main()

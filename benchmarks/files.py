"""Make the files that the benchmarks read: 1 GB of state, and many small tensors."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file


def large_state(nbytes: int) -> dict[str, torch.Tensor]:
    """A transformer-like state_dict of about ``nbytes``: many matrices, many small vectors."""
    width, state, made = 1024, {}, 0
    generator = torch.Generator().manual_seed(0)
    layer = 0
    while made < nbytes:
        for name, shape in (
            ("attn.qkv.weight", (3 * width, width)),
            ("attn.qkv.bias", (3 * width,)),
            ("attn.proj.weight", (width, width)),
            ("mlp.up.weight", (4 * width, width)),
            ("mlp.down.weight", (width, 4 * width)),
            ("norm.weight", (width,)),
        ):
            tensor = torch.randn(shape, generator=generator)
            state[f"layers.{layer}.{name}"] = tensor
            made += tensor.numel() * tensor.element_size()
        layer += 1
    return state


def small_state(count: int) -> dict[str, torch.Tensor]:
    """``count`` tensors of 256 bytes each."""
    names = (f"blocks.{i // 10}.part_{i % 10}.weight" for i in range(count))
    return {name: torch.full((64,), float(i)) for i, name in enumerate(names)}


def make_files(folder: Path, nbytes: int) -> dict[str, Path]:
    """Write each file once; later calls find it there."""
    folder.mkdir(parents=True, exist_ok=True)
    large = None
    paths = {
        "zip": folder / f"large-{nbytes}.pt",
        "safetensors": folder / f"large-{nbytes}.safetensors",
        "10k": folder / "10k.pt",
        "100k": folder / "100k.pt",
    }
    for kind in ("zip", "safetensors"):
        if not paths[kind].exists():
            large = large or large_state(nbytes)
            print(f"writing {paths[kind].name}", file=sys.stderr)
            torch.save(large, paths[kind]) if kind == "zip" else save_file(large, paths[kind])
    for kind, count in (("10k", 10_000), ("100k", 100_000)):
        if not paths[kind].exists():
            print(f"writing {paths[kind].name}", file=sys.stderr)
            torch.save(small_state(count), paths[kind])
    return paths

"""What filling live objects from a checkpoint costs, beside a raw read and the usual loaders.

    python benchmarks/bench_restore.py [--folder DIR] [--nbytes N] [--rounds R] [--only cold,...]

Everything is in one process and interleaved, into objects that exist. "Cold" drops the file from
the page cache before each run. Only ckptkit compares the bytes with digests. Read the ratios: they
are medians of the ratios of single rounds.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file

import ckptkit
from benchmarks.bench_save import Limit, Times, _status, sync_tree, training_state
from benchmarks.bench_write import views_of

Loaders = dict[str, Callable[[], object]]
OURS = "ckptkit.restore, digests checked"
RAW, RAW_TWO = "raw read into existing memory", "the same on two threads"
TORCH, MAPPED, SAFE = "torch.load", "torch.load(mmap=True)", "safetensors load_file"
BLOCK_NBYTES = 1 << 20
RAW_BLOCKS = 4  # that one thread reads in a row: faster than halves of the file, cold

COLD = (Limit(TORCH, 0.6), Limit(MAPPED, 0.8), Limit(SAFE, 0.8), Limit(RAW, 1.15))
WARM = (Limit(RAW, 1.15),)


class FlatModule(torch.nn.Module):
    """As many parameters of 256 bytes as asked for, in one module: what is kindest to torch."""

    def __init__(self, count: int) -> None:
        super().__init__()
        for number in range(count):
            self.register_parameter(f"part_{number}", torch.nn.Parameter(torch.randn(64)))


def write_files(state: dict[str, Any], folder: Path) -> None:
    """Write the same state for every loader, and wait until the disk has it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ckptkit.save(folder / "sealed", state)
    if list(state) == ["model"]:
        torch.save(state["model"].state_dict(), folder / "state.pt")
        save_file(state["model"].state_dict(), folder / "state.safetensors")
    else:
        torch.save({k: getattr(v, "state_dict", lambda v=v: v)() for k, v in state.items()},
                   folder / "state.pt")  # fmt: skip
    sync_tree(folder)


def drop_cache(folder: Path) -> None:
    """Take the files out of the page cache, so that they are read from the disk again."""
    for file in folder.rglob("*"):
        if file.is_file():
            fd = os.open(file, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def large_loaders(model: torch.nn.Module, folder: Path) -> Loaders:
    """Loaders of weights into a model that exists: every one of them copies into its memory."""

    def by_torch(*, mmap: bool) -> Callable[[], None]:
        def run() -> None:
            loaded = torch.load(folder / "state.pt", mmap=mmap, weights_only=True)
            model.load_state_dict(loaded)

        return run

    return {
        OURS: lambda: ckptkit.restore(folder / "sealed", {"model": model}),
        RAW: raw_reader(model, folder, threads=1),
        RAW_TWO: raw_reader(model, folder, threads=2),
        TORCH: by_torch(mmap=False),
        MAPPED: by_torch(mmap=True),
        SAFE: lambda: model.load_state_dict(load_file(folder / "state.safetensors")),
    }


def training_loaders(state: dict[str, Any], folder: Path) -> Loaders:
    """The same with an optimizer, whose state torch does not copy: it keeps what was loaded."""
    targets = {name: state[name] for name in ("model", "optimizer")}

    def by_torch() -> None:
        loaded = torch.load(folder / "state.pt", weights_only=True)
        for name, target in targets.items():
            target.load_state_dict(loaded[name])

    return {
        OURS: lambda: ckptkit.restore(folder / "sealed", targets),
        TORCH: by_torch,
    }


def raw_reader(model: torch.nn.Module, folder: Path, threads: int) -> Callable[[], None]:
    """The limit: the same number of bytes into memory that is there already, and no digests."""
    views = views_of({name: t.detach() for name, t in model.state_dict().items()})
    cuts: list[tuple[memoryview, int]] = []
    offset = 0
    for view in views:
        for at in range(0, len(view), BLOCK_NBYTES):
            block = view[at : at + BLOCK_NBYTES]
            cuts.append((block, offset + at))
        offset += len(view)
    runs = [cuts[at : at + RAW_BLOCKS] for at in range(0, len(cuts), RAW_BLOCKS)]

    def run() -> None:
        fd = os.open(folder / "state.safetensors", os.O_RDONLY)

        def read(part: list[tuple[memoryview, int]]) -> None:
            for block, at in part:
                os.preadv(fd, [block], at)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, runs))
        os.close(fd)

    return run


def measure(ways: Loaders, rounds: int, before: Callable[[], object]) -> Times:
    """Wall seconds of each way, one after the other in every round; the first does not count."""
    times: Times = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            before()
            start = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def show(title: str, times: Times, limits: tuple[Limit, ...], console: Console) -> bool:
    """Print one table; return whether every limit was kept."""
    table = Table(title=title, title_justify="left")
    for column in ("loader, + load_state_dict", "median s", "ckptkit takes", "promised"):
        table.add_column(column, justify="left" if column.startswith("loader") else "right")
    wanted, kept = dict(limits), True
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(times[OURS], seconds, strict=True))
        promised = f"at most {wanted[name]:.2f}" if name in wanted else ""
        missed = name in wanted and ratio > wanted[name]
        kept = kept and not missed
        shown = "" if name == OURS else f"{ratio:.2f}"
        cell = f"[red]{shown}" if missed else shown
        table.add_row(name, f"{statistics.median(seconds):.3f}", cell, promised)
    console.print(table)
    return kept


def small_loaders(count: int, folder: Path) -> Loaders:
    model = FlatModule(count)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ckptkit.save(folder / "sealed", {"model": model})
    save_file(model.state_dict(), folder / "state.safetensors")
    torch.save(model.state_dict(), folder / "state.pt")

    def by_torch() -> None:
        model.load_state_dict(torch.load(folder / "state.pt", weights_only=True))

    return {
        OURS: lambda: ckptkit.restore(folder / "sealed", {"model": model}),
        SAFE: lambda: model.load_state_dict(load_file(folder / "state.safetensors")),
        TORCH: by_torch,
    }


def added_memory(model: torch.nn.Module, folder: Path) -> int:
    """Bytes by which one restore raises this process's peak memory."""
    ckptkit.restore(folder / "sealed", {"model": model})  # imports are no part of what it takes
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmHWM")
    ckptkit.restore(folder / "sealed", {"model": model})
    return _status("VmHWM") - before


def bench_weights(options: argparse.Namespace, folder: Path, console: Console) -> list[bool]:
    """Weights of ``--nbytes`` into a model that exists; say which promises were kept."""
    model, kept = training_state(3 * options.nbytes)["model"], []  # a third of it is the model
    only = options.only.split(",")
    write_files({"model": model}, folder)
    tensors = model.state_dict().values()
    nbytes = sum(t.numel() * t.element_size() for t in tensors)
    title = f"{nbytes / 1e9:.2f} GB of weights in {len(tensors)} tensors"
    if "memory" in only:
        added = added_memory(model, folder)
        kept.append(added <= 16 << 20)
        told = f"one restore raises the peak memory by {added / 2**20:.1f} MiB (at most 16)"
        console.print(told)
    if "cold" in only:
        ways = large_loaders(model, folder)
        times = measure(ways, options.rounds, lambda: (gc.collect(), drop_cache(folder)))
        kept.append(show(f"{title}, cold", times, COLD, console))
    if "warm" in only:
        times = measure(large_loaders(model, folder), options.rounds, gc.collect)
        kept.append(show(f"{title}, warm", times, WARM, console))
    return kept


def bench_restore(options: argparse.Namespace, console: Console) -> bool:
    folder, kept = options.folder / "restored", []
    only = options.only.split(",")
    if {"cold", "warm", "memory"} & {*only}:
        kept += bench_weights(options, folder, console)
    if "training" in only:
        state = training_state(options.nbytes)
        write_files(state, folder)
        for title, before in (("cold", lambda: drop_cache(folder)), ("warm", gc.collect)):
            times = measure(training_loaders(state, folder), options.rounds, before)
            show(f"a model and its AdamW, {title}; no promise", times, (), console)
    for name, count, ratio in (("10k", 10_000, 0.8), ("100k", 100_000, 1.0)):
        if name in only:
            times = measure(small_loaders(count, folder), options.rounds, gc.collect)
            title = f"{count:,} tensors of 256 bytes, warm"
            kept.append(show(title, times, (Limit(SAFE, ratio),), console))
    shutil.rmtree(folder, ignore_errors=True)
    return all(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, default=Path(".cache/bench"))
    parser.add_argument("--nbytes", type=int, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="memory,cold,warm,training,10k,100k")
    kept = bench_restore(parser.parse_args(), Console(width=100))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()

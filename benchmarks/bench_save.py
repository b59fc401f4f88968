"""What saving a training state costs, beside the raw limit of the disk and the usual savers.

    python benchmarks/bench_save.py [--folder DIR] [--nbytes N] [--rounds R] [--only large,...]

Everything is in one process, from warm memory, interleaved; "+ fsync" waits for the disk. Read the
ratios: they are medians of the ratios of single rounds. The write pattern of ckptkit was tuned on
a disk of this kind, and that of the others was not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.distributed.checkpoint as dcp
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

import ckptkit
from benchmarks.bench_write import views_of, write_raw
from benchmarks.files import small_state

Savers = dict[str, Callable[[], None]]
Times = dict[str, list[float]]
OURS, RAW = "ckptkit.save", "raw writes + fsync (the limit)"
SAFE, TORCH = "safetensors save_file + fsync", "torch.save + fsync"


class Limit(NamedTuple):
    """At most ``ratio`` times the time of the other saver."""

    other: str
    ratio: float


LARGE = (
    Limit(TORCH, 0.5), Limit(SAFE, 0.65), Limit("torch.distributed.checkpoint + fsync", 0.45),
    Limit("torch.save, no fsync", 0.7), Limit(RAW, 1.15),
)  # fmt: skip


def training_state(nbytes: int) -> dict[str, Any]:
    """A GPT-like model and its AdamW after one step; ``nbytes`` of tensors in all."""
    width = 512 if nbytes < 1 << 29 else 768
    block = 12 * width * width
    layers = max(1, nbytes // 12 // block)
    torch.manual_seed(0)
    made = [
        torch.nn.TransformerEncoderLayer(width, 12 if width == 768 else 8, 4 * width)
        for _ in range(layers)
    ]
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList(made)})
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"model": model, "optimizer": optimizer, "progress": {"epoch": 3}}


def flat_tensors(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The same tensors under flat names, for savers that take nothing else."""
    flat = {f"model.{name}": value for name, value in state["model"].state_dict().items()}
    for number, moments in state["optimizer"].state_dict()["state"].items():
        flat |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
    return flat


def sync_tree(path: Path) -> None:
    for file in [path, *path.rglob("*")] if path.is_dir() else [path, path.parent]:
        fd = os.open(file, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def large_savers(state: dict[str, Any], path: Path, *, sync: bool = True) -> Savers:
    flat = flat_tensors(state)
    views = views_of(flat)

    def nested() -> dict[str, Any]:
        return {name: getattr(v, "state_dict", lambda v=v: v)() for name, v in state.items()}

    def then_sync(save: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            save()
            sync_tree(path)

        return run

    def by_dcp() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcp.save(nested(), checkpoint_id=path, no_dist=True)

    ways = {
        OURS: lambda: ckptkit.save(path, state),
        SAFE: then_sync(lambda: save_file(flat, path)),
    }
    if not sync:
        return ways
    return {
        **ways,
        RAW: lambda: write_raw(views, path),
        TORCH: then_sync(lambda: torch.save(nested(), path)),
        "torch.save, no fsync": lambda: torch.save(nested(), path),
        "torch.distributed.checkpoint + fsync": then_sync(by_dcp),
    }


def small_savers(count: int, path: Path) -> Savers:
    state = small_state(count)

    def by_safetensors() -> None:
        save_file(state, path)
        sync_tree(path)

    def by_torch() -> None:
        torch.save(state, path)
        sync_tree(path)

    return {
        OURS: lambda: ckptkit.save(path, {"model": state}),
        SAFE: by_safetensors,
        TORCH: by_torch,
    }


def measure(ways: Savers, path: Path, rounds: int) -> Times:
    """Wall seconds of each way, one after the other in every round; the first does not count."""
    times: Times = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
            os.sync()
            start = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - start)
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    return times


def show(title: str, times: Times, limits: tuple[Limit, ...], console: Console) -> bool:
    """Print one table; return whether every limit was kept."""
    table = Table(title=title, title_justify="left")
    for column in ("saver", "median s", "ckptkit takes", "promised"):
        table.add_column(column, justify="left" if column == "saver" else "right")
    wanted, kept = dict(limits), True
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(times[OURS], seconds, strict=True))
        promised = f"at most {wanted[name]:.2f}" if name in wanted else ""
        missed = name in wanted and ratio > wanted[name]
        kept = kept and not missed
        shown = "" if name == OURS else f"{ratio:.2f}"
        table.add_row(
            name,
            f"{statistics.median(seconds):.3f}",
            f"[red]{shown}" if missed else shown,
            promised,
        )
    console.print(table)
    return kept


def added_memory(nbytes: int, path: Path) -> int:
    """Bytes by which the first save of a fresh process raises its peak memory, imports and all."""
    command = [sys.executable, "-W", "ignore", __file__, "--peak-of", str(path)]
    done = subprocess.run(
        [*command, "--nbytes", str(nbytes)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def show_peak(nbytes: int, path: Path) -> None:
    """What ``added_memory`` asks of its process."""
    state = training_state(nbytes)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _status("VmHWM")
    ckptkit.save(path, state)
    print(_status("VmHWM") - before)
    shutil.rmtree(path)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def bench_save(
    folder: Path,
    console: Console,
    *,
    nbytes: int = 1 << 30,
    rounds: int = 5,
    only: Collection[str] = ("large", "10k", "100k"),
    memory: Path = Path("/dev/shm"),
) -> bool:
    """Print the tables; return whether every promised limit was kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path, kept = folder / "saved", []
    if "large" in only:
        kept.append(bench_large(path, memory / "ckptkit-bench-save", nbytes, rounds, console))
    for name, count, ratio in (("10k", 10_000, 1.25), ("100k", 100_000, 1.0)):
        if name in only:
            times = measure(small_savers(count, path), path, rounds)
            title = f"{count:,} tensors of 256 bytes, on disk"
            kept.append(show(title, times, (Limit(SAFE, ratio),), console))
    return all(kept)


def bench_large(path: Path, shared: Path, nbytes: int, rounds: int, console: Console) -> bool:
    """A whole training state: on disk, in memory, and what it takes beside itself."""
    state = training_state(nbytes)
    flat = flat_tensors(state)
    found = sum(t.numel() * t.element_size() for t in flat.values())
    title = f"{found / 1e9:.2f} GB in {len(flat)} tensors"
    del flat
    on_disk = measure(large_savers(state, path), path, rounds)
    kept = [show(f"{title}, on disk", on_disk, LARGE, console)]
    in_memory = measure(large_savers(state, shared, sync=False), shared, rounds)
    kept.append(show(f"{title}, on {shared.parent}", in_memory, (Limit(SAFE, 1.0),), console))
    added = added_memory(nbytes, path)
    kept.append(added <= 16 << 20)
    console.print(f"one save raises the peak memory by {added / 2**20:.1f} MiB (at most 16)")
    return all(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, default=Path(".cache/bench"))
    parser.add_argument("--nbytes", type=int, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="large,10k,100k")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        show_peak(options.nbytes, options.peak_of)
        return
    kept = bench_save(
        options.folder, Console(width=100), nbytes=options.nbytes, rounds=options.rounds,
        only=options.only.split(","),
    )  # fmt: skip
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()

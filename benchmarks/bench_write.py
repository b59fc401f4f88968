"""What writing a checkpoint costs, beside the raw limit of the disk and two usual savers.

    python benchmarks/bench_write.py [--folder DIR] [--nbytes N] [--rounds R] [--small COUNT]

Everything is in one process, from warm memory, interleaved and synced; read the ratios. The
write pattern of ckptkit was tuned on a disk of this kind and that of the others was not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from benchmarks.files import large_state, small_state
from ckptkit.storage import crew, kernel
from ckptkit.storage.atomic import stage
from ckptkit.storage.digest import digest_many
from ckptkit.storage.writer import WRITEBACK_NBYTES, FileToWrite, write_files

State = dict[str, torch.Tensor]


class MemorySource:
    """The bytes of a tensor that is in memory."""

    __slots__ = ("nbytes", "view")

    def __init__(self, view: memoryview) -> None:
        self.view, self.nbytes = view, len(view)

    def read_into(self, offset: int, out: memoryview) -> None:
        out[:] = self.view[offset : offset + len(out)]


def views_of(state: State) -> list[memoryview]:
    return [memoryview(tensor.numpy()).cast("B") for tensor in state.values()]


def write_raw(views: list[memoryview], path: Path) -> None:
    """The limit: allocation, large writes, early write-back and fsync, on two threads."""
    starts, total = [], 0
    for view in views:
        starts.append(total)
        total += len(view)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    kernel.allocate(fd, total)

    def write(half: int) -> None:
        since = None
        for start, view in zip(starts, views, strict=True):
            if (start * 2 >= total) != half:
                continue
            since = start if since is None else since
            for at in range(0, len(view), crew.BLOCK_NBYTES):
                block = view[at : at + crew.BLOCK_NBYTES]
                os.pwrite(fd, block, start + at)
                end = start + at + len(block)
                if end - since >= WRITEBACK_NBYTES:
                    kernel.start_writeback(fd, since, end - since)
                    since = end

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (0, 1)))
    os.fsync(fd)
    os.close(fd)


def write_sealed(views: list[memoryview], path: Path, workers: int) -> None:
    parts = tuple(map(MemorySource, views))
    with stage(path, needed_nbytes=sum(map(len, views))) as staged:
        write_files(staged.path, [FileToWrite("model", b"\0" * 4096, parts)], workers=workers)
        staged.write_last("manifest", b"\0" * 4096)
        staged.commit()


def synced(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def savers(state: State, path: Path) -> dict[str, Callable[[], None]]:
    views = views_of(state)

    def by_safetensors() -> None:
        save_file(state, path)
        synced(path)

    def by_torch() -> None:
        torch.save(state, path)
        synced(path)

    return {
        "raw writes (the limit)": lambda: write_raw(views, path),
        "ckptkit, sealed, 2 threads": lambda: write_sealed(views, path, 2),
        "ckptkit, sealed, 1 thread": lambda: write_sealed(views, path, 1),
        "safetensors save_file + fsync": by_safetensors,
        "torch.save + fsync": by_torch,
    }


def measure(ways: dict[str, Callable[[], None]], path: Path, rounds: int) -> dict[str, list[float]]:
    """Wall seconds of each way, one after the other in every round; the first does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
            os.sync()
            start = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def show(title: str, times: dict[str, list[float]], console: Console) -> None:
    base = next(iter(times.values()))
    table = Table(title=title, title_justify="left")
    for column in ("saver, synced", "median s", "to the first"):
        table.add_column(column, justify="left" if column.startswith("saver") else "right")
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, base, strict=True))
        table.add_row(name, f"{statistics.median(seconds):.3f}", f"{ratio:.2f}")
    console.print(table)


def show_digests(state: State, console: Console) -> None:
    sources = list(map(MemorySource, views_of(state)))
    nbytes = sum(source.nbytes for source in sources)
    start = time.perf_counter()
    digest_many(sources, workers=2)
    seconds = time.perf_counter() - start
    console.print(f"digest_many: {len(sources)} sources, {nbytes / seconds / 1e9:.1f} GB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, default=Path(".cache/bench"))
    parser.add_argument("--nbytes", type=int, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", type=int, default=100_000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path, console = options.folder / "written", Console(width=100)
    if options.nbytes:
        state = large_state(options.nbytes)
        times = measure(savers(state, path), path, options.rounds)
        show(f"{options.nbytes / 1e9:.2f} GB in {len(state)} tensors", times, console)
        show_digests(state, console)
    if options.small:
        state = small_state(options.small)
        times = measure(savers(state, path), path, min(3, options.rounds))
        show(f"{options.small:,} tensors of 256 bytes", times, console)


if __name__ == "__main__":
    main()

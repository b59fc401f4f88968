"""For how long a background save holds the training up, beside async_save and one memcpy.

    python benchmarks/bench_stall.py [--folder DIR] [--nbytes N] [--rounds R]

The stall of ckptkit is measured from outside, in a loop over ``Run.steps``: the time from the end
of a body, behind which it saves, to the beginning of the next, and how long the optimizer's step in
there then waits for the rest of the copy. What the copy and the write take of the processor makes
the passes beside them longer, for ours and for async_save: that is the last column. Between two
saves the model is trained for a step: where nothing is, the C library may hand async_save the
memory that it has just freed, and its stall goes down to that of a copy on two threads. Everything
is in one process and interleaved, and every write in the background has ended before the next
figure is taken. Read the ratios: they are medians of the ratios of single rounds.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.distributed.checkpoint as dcp
from rich.console import Console
from rich.table import Table
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

import ckptkit
from benchmarks.bench_save import Limit, flat_tensors, training_state

OURS, COPY = "ckptkit.Run, in the background", "one memcpy of the state"
THEIRS = "async_save of torch"
CACHED = "async_save, its stager kept"
LIMITS = (Limit(THEIRS, 0.35), Limit(COPY, 1.3))


def memcpy_of(state: dict[str, Any]) -> Callable[[], float]:
    """Copies every tensor into memory that exists, by the C library, on one thread."""
    sources = list(flat_tensors(state).values())
    sizes = [t.numel() * t.element_size() for t in sources]
    target = torch.zeros(sum(sizes), dtype=torch.uint8)
    spans, end = [], target.data_ptr()
    for tensor, nbytes in zip(sources, sizes, strict=True):
        assert tensor.is_contiguous()
        spans.append((end, tensor.data_ptr(), nbytes))
        end += nbytes

    def copy() -> float:
        assert target is not None
        start = time.perf_counter()
        for span in spans:
            ctypes.memmove(*span)
        return time.perf_counter() - start

    return copy


def async_save_of(
    state: dict[str, Any], path: Path, passes: list[float], *, cached: bool
) -> Callable[[], float]:
    """Saves by async_save: the time until it returns; then a pass, and a wait, do not count."""
    stager = DefaultStager(StagingOptions(*[False] * 4))  # as it makes one itself, for each save

    def save() -> float:
        shutil.rmtree(path, ignore_errors=True)
        kept = {"async_stager": stager} if cached else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            nested = {name: getattr(v, "state_dict", lambda v=v: v)() for name, v in state.items()}
            future = dcp.async_save(nested, checkpoint_id=path, no_dist=True, **kept)
            stall = time.perf_counter() - start
            passes.append(go_through(state))
            getattr(future, "upload_completion", future).result()
        return stall

    return save


def wait_for_the_write() -> None:
    """Wait until nothing is written in the background."""
    for thread in threading.enumerate():
        if thread.name == "ckptkit-save":
            thread.join()


class Waits:
    """How long the steps of an optimizer wait for the hooks of a run, entered in between."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer, self._began, self.last = optimizer, 0.0, 0.0
        optimizer.register_step_pre_hook(self._begin)

    def enclose(self) -> None:
        """Measure all hooks that were registered since."""
        self._optimizer.register_step_pre_hook(self._end)

    def _begin(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: Any) -> None:
        self.last = time.perf_counter() - self._began


def go_through(state: dict[str, Any]) -> float:
    """Go once forward and backward; return the seconds."""
    began = time.perf_counter()
    x = torch.randn(4, 2, next(state["model"].parameters()).shape[1])
    for layer in state["model"]["layers"]:
        x = layer(x)
    state["optimizer"].zero_grad(set_to_none=True)
    x.square().mean().backward()
    return time.perf_counter() - began


def train_a_step(state: dict[str, Any]) -> float:
    """Train once, so that between two saves memory is used as in any training."""
    seconds = go_through(state)
    state["optimizer"].step()
    state["optimizer"].zero_grad(set_to_none=True)
    return seconds


class Measured(NamedTuple):
    """Seconds, round by round, of each way: of the stall, and of the passes beside its write."""

    stalls: dict[str, list[float]]
    passes: dict[str, list[float]]


def measure(folder: Path, nbytes: int, rounds: int) -> tuple[Measured, str]:
    """Measure each way, one after the other in every round, after an uncounted one."""
    state = training_state(nbytes)
    optimizer, tensors = state["optimizer"], flat_tensors(state)
    found = sum(t.numel() * t.element_size() for t in tensors.values())
    passes: dict[str, list[float]] = {name: [] for name in (OURS, THEIRS, CACHED, COPY)}
    others = {
        COPY: memcpy_of(state),
        THEIRS: async_save_of(state, folder / "theirs", passes[THEIRS], cached=False),
        CACHED: async_save_of(state, folder / "theirs", passes[CACHED], cached=True),
    }
    measured = Measured({name: [] for name in (OURS, *others)}, passes)
    policy = ckptkit.SavePolicy(every_steps=1, final=False, background=True)
    keep = ckptkit.Retention(keep=ckptkit.KeepLast(1))
    waits = Waits(optimizer)
    run = ckptkit.Run(
        folder / "ours", {"model": state["model"], "optimizer": optimizer}, save=policy,
        retention=keep, resume="never", tell=lambda _text: None,
    )  # fmt: skip
    with run:
        waits.enclose()
        ended = 0.0
        for number, _ in enumerate(run.steps(2 * (rounds + 2))):  # each body makes two steps
            stalls = {OURS: time.perf_counter() - ended}
            passes[OURS].append(train_a_step(state))
            stalls[OURS] += waits.last
            wait_for_the_write()
            stalls |= {name: way() for name, way in others.items()}
            passes[COPY].append(train_a_step(state))  # beside nothing
            if number > 1:  # the first save makes the staging buffer
                for name, stall in stalls.items():
                    measured.stalls[name].append(stall)
            ended = time.perf_counter()
    return measured, f"{found / 1e9:.2f} GB in {len(tensors)} tensors"


def show(title: str, measured: Measured, console: Console) -> bool:
    """Print the table; return whether every limit was kept."""
    table = Table(title=title, title_justify="left")
    columns = ("held up by", "median s", "ckptkit takes", "promised", "passes beside it, s")
    for column in columns:
        table.add_column(column, justify="left" if column == "held up by" else "right")
    wanted, kept, stalls = dict(LIMITS), True, measured.stalls
    for name, seconds in stalls.items():
        ratio = statistics.median(a / b for a, b in zip(stalls[OURS], seconds, strict=True))
        promised = f"at most {wanted[name]:.2f}" if name in wanted else ""
        missed = name in wanted and ratio > wanted[name]
        kept = kept and not missed
        shown = "" if name == OURS else f"{ratio:.2f}"
        table.add_row(
            name,
            f"{statistics.median(seconds):.3f}",
            f"[red]{shown}" if missed else shown,
            promised,
            f"{statistics.median(measured.passes[name]):.2f}",
        )
    console.print(table)
    return kept


def bench_stall(folder: Path, console: Console, *, nbytes: int = 1 << 30, rounds: int = 5) -> bool:
    """Print the table; return whether every promised limit was kept."""
    place = folder / "stall"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        measured, size = measure(place, nbytes, rounds)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return show(f"{size}, saved behind the training", measured, console)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, default=Path(".cache/bench"))
    parser.add_argument("--nbytes", type=int, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    kept = bench_stall(
        options.folder, Console(width=100), nbytes=options.nbytes, rounds=options.rounds
    )
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()

"""What the four figures' scripts share: their options, and the time that a training took in all."""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

THREADS = 1  # the figures are those of one core


def options_of(description: str, *, epochs: int | None = None) -> argparse.ArgumentParser:
    """Return the options of every script; ``epochs``: where they may be asked for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path("docs/trainers"))
    parser.add_argument("--work", type=Path)
    if epochs is not None:
        parser.add_argument("--epochs", type=int, default=epochs)
    return parser


@contextmanager
def working_in(folder: Path | None) -> Iterator[Path]:
    """Compute on one thread, in a folder that stays, or in one that goes if none was asked for."""
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as own:
        yield folder or Path(own)


def timed(work: Path, train: Callable[[], Any]) -> dict[str, Any]:
    """Train; return the minutes of all sessions that took part, of which ``work`` keeps a ledger.

    A session that was killed kept no time: its minutes are missing.
    """
    ledger = work / "sessions.json"
    sessions = json.loads(ledger.read_text()) if ledger.is_file() else []
    began, began_cpu = time.monotonic(), time.process_time()
    try:
        train()
    finally:
        sessions.append([time.monotonic() - began, time.process_time() - began_cpu])
        work.mkdir(parents=True, exist_ok=True)
        ledger.write_text(json.dumps(sessions))
    minutes, cpu_minutes = (round(sum(column) / 60, 1) for column in zip(*sessions, strict=True))
    return {"minutes": minutes, "cpu_minutes": cpu_minutes, "sessions": len(sessions)}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"threads": THREADS, "torch": torch.__version__, "machine": platform.machine()}


def write_figures(out: Path, name: str, told: dict[str, Any]) -> None:
    """Write ``NAME.json``, and the folder that it lies in."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")

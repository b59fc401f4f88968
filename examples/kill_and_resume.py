"""Train, kill the training with SIGKILL, resume it, and compare it with one that never stopped.

    python examples/kill_and_resume.py --out demo-out/kill [--seed N]

Every command that is printed is run as it stands, so each can be copied and tried by hand.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

TRAINING = (
    "--epochs", "3", "--patches", "64", "--patch", "48", "--width", "8", "--val-size", "64",
    "--save-every-steps", "3", "--no-progress",
)  # fmt: skip
#: All that a resume has to give back: everything in a checkpoint but the times in its history.
SECTIONS = ("model", "ema", "optimizer", "scheduler", "rng", "data", "progress", "metrics")
console = Console()


def started(*words: str | Path) -> subprocess.Popen[bytes]:
    """Start one ckptkit command as a user types it."""
    console.print(f"[bold cyan]$ ckptkit {' '.join(map(str, words))}", soft_wrap=True)
    command = [sys.executable, "-m", "ckptkit", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603


def finished(*words: str | Path) -> None:
    """Run one to its end; stop the demonstration if it fails."""
    code = started(*words).wait()
    if code:
        sys.exit(f"exit code {code}")


def killed(after_s: float, *words: str | Path) -> None:
    """Start one, and kill it and all that it started once a checkpoint is there and time is up."""
    folder = Path(words[-1])
    process = started(*words)
    while process.poll() is None and not list(folder.glob("*/checkpoints/checkpoint_step_*")):
        time.sleep(0.02)
    time.sleep(after_s)
    if process.poll() is not None:
        sys.exit("it had ended before it could be killed: this machine is faster than the demo")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    console.print("[bold red]killed with SIGKILL")


def final_of(folder: Path) -> Path:
    """The last checkpoint of the one run in a folder."""
    (final,) = folder.glob("*/checkpoints/final_model")
    return final


def main() -> None:
    """Do it, and end with the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills")
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311
    shutil.rmtree(options.out, ignore_errors=True)
    whole, broken = options.out / "whole", options.out / "broken"
    finished("train", "restoration", *TRAINING, "--out", whole)
    killed(chance.uniform(0.5, 2.0), "train", "restoration", *TRAINING, "--out", broken)
    finished("list", broken)
    finished("resume", broken)
    sections = [word for name in SECTIONS for word in ("--section", name)]
    finished("diff", final_of(whole), final_of(broken), *sections)
    console.print("[bold green]The run that was killed ended in the same bits.")


if __name__ == "__main__":
    main()

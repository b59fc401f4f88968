"""Time whole commands, interleaved, and read their peak memory from the kernel."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

Command = Sequence[str]


class Run(NamedTuple):
    """One finished process. Units: seconds of wall time, bytes of peak resident memory."""

    wall_s: float
    peak_nbytes: int


def run_once(command: Command) -> Run:
    """Run a command to its end, output thrown away; fail loudly if it fails."""
    start = time.perf_counter()
    # Compiled modules are kept, as after any installation; some environments forbid that.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        error = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)}\nexit code {process.returncode}\n{error.decode()}")
    return Run(wall_s, usage.ru_maxrss * 1024)


def interleave(commands: dict[str, Command], rounds: int) -> dict[str, list[Run]]:
    """Run every command once a round, after one round that does not count.

    Machines drift: only figures of the same round are comparable, so compare round by round.
    """
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            run = run_once(command)
            if number:
                runs[name].append(run)
    return runs


def median_over(runs: list[Run], base: list[Run]) -> float:
    """Median over the rounds of how many seconds longer ``runs`` took than ``base``."""
    return statistics.median(a.wall_s - b.wall_s for a, b in zip(runs, base, strict=True))


def median_ratio(runs: list[Run], base: list[Run]) -> float:
    """Median over the rounds of the ratio of wall times."""
    return statistics.median(a.wall_s / b.wall_s for a, b in zip(runs, base, strict=True))

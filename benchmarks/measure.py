"""Time whole commands, interleaved, and read their peak memory from the kernel."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

Command = Sequence[str]


class Run(NamedTuple):
    """One finished process. Units: seconds of wall time, bytes of peak resident memory."""

    wall_s: float
    peak_nbytes: int


#: A process inherits the peak memory of the one that starts it, so a bare interpreter does that.
LAUNCHER = """
import os, sys, time
to_null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=to_null)
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - start, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def run_once(command: Command) -> Run:
    """Run a command to its end, output thrown away; fail loudly if it fails."""
    program = shutil.which(command[0]) or command[0]
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, program, *command[1:]]
    # Compiled modules are kept, as after any installation; some environments forbid that.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(launch, capture_output=True, text=True, check=True, env=environment)
    wall_s, peak_kib, code = done.stdout.split()
    if int(code):
        sys.exit(f"{' '.join(command)}\nexit code {code}\n{done.stderr}")
    return Run(float(wall_s), int(peak_kib) * 1024)


def interleave(
    commands: dict[str, Command], rounds: int, before: Callable[[], None] = lambda: None
) -> dict[str, list[Run]]:
    """Run every command once a round, after one round that does not count.

    ``before`` each run is not timed. Machines drift: only figures of the same round are
    comparable, so compare round by round.
    """
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            before()
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

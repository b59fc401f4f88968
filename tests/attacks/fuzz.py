"""The structure-aware fuzz: open every mutant, use every tensor, scan it; only our errors may escape.

``python -m tests.attacks.fuzz --count 1000000 --seed 0 --save FOLDER``; a failing input is kept
in FOLDER and made again by ``--seed S --only INDEX``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.attacks.fuzz_bytes import Files
from tests.attacks.fuzz_exercise import exercise
from tests.attacks.fuzz_mutators import mutant
from tests.attacks.fuzz_seeds import Seeds, load_seeds
from tests.attacks.judge_worker import TooSlow, import_everything, start_clock, stop_clock

ROOT = Path(__file__).parents[2]
SECONDS = 5.0
EXTRA_NBYTES = 64 << 20
ADDRESS_SPACE = 3 << 30


class Failure(NamedTuple):
    """An input that broke the promise."""

    index: int
    kind: str
    why: str


def write(files: Files, folder: Path) -> Path:
    """Put a mutant on disk."""
    if "" in files:
        path = folder / "mutant.pt"
        path.write_bytes(files[""])
        return path
    root = folder / "mutant"
    if root.exists():
        shutil.rmtree(root)
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def forget_peak() -> None:
    """Let the kernel measure the peak anew: one large input must not hide all smaller ones."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most that was resident since ``forget_peak``."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def try_one(path: Path, index: int, nbytes: int) -> tuple[str, str]:
    """Exercise one input under the clock and the scales: (outcome, what is wrong with it)."""
    forget_peak()
    base, started = resident(), time.process_time()
    start_clock(SECONDS)
    outcome, wrong = "failed", ""
    try:
        outcome = exercise(path, index)
    except TooSlow:
        wrong = f"more than {SECONDS:.0f} s at {place_of(sys.exc_info()[2])}"
    except BaseException as exc:
        wrong = f"{type(exc).__name__}: {exc!s:.120} at {place_of(exc.__traceback__)}"
    finally:
        stop_clock()
    spent, grown = time.process_time() - started, peak()
    if not wrong and spent > SECONDS:
        wrong = f"took {spent:.1f} s"
    if not wrong and grown - base > 2 * nbytes + EXTRA_NBYTES:
        wrong = f"took {(grown - base) >> 20} MB for {nbytes} bytes"
    return outcome, wrong


def place_of(trace: Any) -> str:
    """The last lines of a traceback, innermost first."""
    frames = traceback.extract_tb(trace)[-3:]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))


def work(options: argparse.Namespace) -> None:
    """One worker: every ``--stride``-th index from ``--start`` on; prints failures, then figures."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    import_everything()
    seeds = load_seeds()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        done = os.open(options.progress, os.O_WRONLY | os.O_CREAT)
        for index in range(options.start, options.count, options.stride):
            os.pwrite(done, b"%020d" % index, 0)
            kind, files = mutant(options.seed, index, seeds)
            path = write(files, Path(scratch))
            started = time.process_time()
            outcome, wrong = try_one(path, index, sum(map(len, files.values())))
            slowest = max(slowest, time.process_time() - started)
            outcomes[outcome] += 1
            if wrong:
                print(json.dumps({"index": index, "kind": kind, "why": wrong}), flush=True)
                keep(path, options.save, f"{options.seed}-{index}-{kind}")
    print(json.dumps({"outcomes": outcomes, "slowest": slowest, "peak": peak()}), flush=True)


def keep(path: Path, folder: str, name: str) -> None:
    """Save a failing input."""
    if not folder:
        return
    target = Path(folder) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(path, target)


class Result(NamedTuple):
    """The figures of a run."""

    count: int
    seconds: float
    slowest_s: float
    outcomes: Counter[str]
    failures: list[Failure]


def fuzz(count: int, seed: int = 0, workers: int = 2, save: str = "") -> Result:
    """Run the fuzz in children; a child that dies or hangs is a failure, and another goes on."""
    started = time.monotonic()
    outcomes: Counter[str] = Counter()
    failures: list[Failure] = []
    slowest = 0.0
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    with tempfile.TemporaryDirectory() as folder:
        waiting = [(number, number) for number in range(workers)]
        running: list[tuple[int, Path, subprocess.Popen[str]]] = []
        while waiting or running:
            while waiting:
                number, start = waiting.pop()
                progress = Path(folder) / f"progress-{number}"
                command = [
                    sys.executable, "-m", "tests.attacks.fuzz", "--worker", "--count", str(count), "--seed", str(seed),
                    "--start", str(start), "--stride", str(workers), "--progress", str(progress), "--save", save,
                    "--scratch", scratch,
                ]  # fmt: skip
                environment = {
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "PYTHONDONTWRITEBYTECODE": "1",
                }
                child = subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
                )
                running.append((number, progress, child))
            number, progress, child = running.pop(0)
            output, _ = child.communicate()
            rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
            failures += [
                Failure(row["index"], row["kind"], row["why"]) for row in rows if "why" in row
            ]
            for row in rows:
                if "outcomes" in row:
                    outcomes.update(row["outcomes"])
                    slowest = max(slowest, row["slowest"])
            if child.returncode:
                index = int(progress.read_text()) if progress.exists() else count
                failures.append(Failure(index, "any", f"the process died with {child.returncode}"))
                if progress.exists():
                    progress.unlink()
                    waiting.append((number, index + workers))
    return Result(count, time.monotonic() - started, slowest, outcomes, sorted(failures))


def show(result: Result, seed: int) -> str:
    """The figures as text, with at most five failures of a kind."""
    took = f"{result.seconds:.0f} s, slowest {result.slowest_s:.2f} s"
    lines = [
        f"fuzz: {result.count} inputs, seed {seed}, {took}, {len(result.failures)} failures",
        "outcomes: "
        + ", ".join(f"{name} {times}" for name, times in result.outcomes.most_common()),
    ]
    met: Counter[str] = Counter()
    for failure in result.failures:
        place = failure.why.partition(" at ")[2] or failure.why
        met[place] += 1
        if met[place] <= 3:
            lines.append(f"  --seed {seed} --only {failure.index} ({failure.kind}): {failure.why}")
    lines += [f"  {times} in all at {place}" for place, times in met.most_common() if times > 3]
    return "\n".join(lines)


def replay(seed: int, index: int, save: str) -> None:
    """Make one input again and run it unguarded, so that its traceback shows."""
    seeds: Seeds = load_seeds()
    kind, files = mutant(seed, index, seeds)
    folder = Path(save or tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    path = write(files, folder)
    print(f"{kind}: {path}", flush=True)
    print(exercise(path, index))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--save", default="")
    parser.add_argument("--only", type=int)
    for hidden in ("--worker", "--start", "--stride", "--progress", "--scratch"):
        action: Any = {"action": "store_true"} if hidden == "--worker" else {}
        parser.add_argument(hidden, help=argparse.SUPPRESS, **action)
    options = parser.parse_args()
    if options.worker:
        options.start, options.stride = int(options.start), int(options.stride)
        work(options)
        return 0
    if options.only is not None:
        replay(options.seed, options.only, options.save)
        return 0
    result = fuzz(options.count, options.seed, options.workers, options.save)
    print(show(result, options.seed))
    return int(bool(result.failures))


if __name__ == "__main__":
    sys.exit(main())

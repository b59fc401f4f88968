"""Kill a training at random moments, resume it, and compare it with the one that never stopped.

``python -m tests.run.soak.driver --kills 500``. Torch is imported once; every attempt is a fork of
this process, which itself computes nothing.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch._dynamo  # noqa: F401  an optimizer imports it: here once, not in every fork

from ckptkit.testing.killing import signal_at
from tests.run.soak.training import Features, train

WHOLE = Features()
MENU = [
    WHOLE,
    Features(schedule="plateau", workers=2, scaler=False),
    Features(schedule="onecycle", accumulate=3, ema=False, every_steps=1, background=True),
    Features(optimizer="sgd", schedule="step", workers=2, persistent=True, every_epochs=0),
    Features(
        optimizer="rmsprop",
        accumulate=2,
        batch_size=4,
        drop_last=True,
        every_steps=2,
        background=True,
    ),
]
MAX_ATTEMPTS = 60
WITHIN = {"forward": 60, "step": 40, "mark": 25, "save": 60}  # the calls that a kill may follow


def in_child(work):
    """Run ``work()`` in a fork; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)  # data workers die with it
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def attempt(folder, features, kind, chance):
    """Train until the end or a kill; return whether it ended by itself."""

    def work():
        if kind in WITHIN:
            signal_at(kind, chance.randrange(WITHIN[kind]))
        train(folder, features)

    pid = in_child(work)
    if kind == "time":
        deadline = time.monotonic() + chance.uniform(0.0, 1.2)
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return _ended(status)
            time.sleep(0.005)
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return _ended(status)


def _ended(status):
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise AssertionError("a resume failed: see the traceback above")
    return os.WIFEXITED(status)


def orders_of(folder):
    """What each batch held, by the number of samples before it; the last look counts."""
    lines = (Path(folder) / "orders.txt").read_text().splitlines()
    whole = [line for line in lines if line.count(" ") > 1 and line[-1].isdigit()]
    return {int(line.split(" ", 1)[0]): line for line in whole}


def compare(folder, truth, true_orders):
    """Return what differs from the run that never stopped."""
    result = json.loads((Path(folder) / "result.json").read_text())
    wrong = [name for name in truth if result.get(name) != truth[name]]
    if orders_of(folder) != true_orders:
        wrong.append("sample order")
    return wrong


def soak(kills, seed, places):
    """Do it until ``kills`` processes were killed; return (kills by kind, runs, differences)."""
    chance = random.Random(seed)
    counts, wrong, runs = dict.fromkeys(("time", *WITHIN), 0), [], 0
    truths = {}
    while sum(counts.values()) < kills:
        number = runs % len(MENU)
        features = MENU[number]
        if number not in truths:
            folder = places / f"truth-{number}"
            os.waitpid(in_child(lambda f=folder, x=features: train(f, x)), 0)
            truths[number] = json.loads((folder / "result.json").read_text()), orders_of(folder)
        folder = places / f"run-{runs}"
        for _ in range(MAX_ATTEMPTS):
            kind = chance.choice(list(counts)) if sum(counts.values()) < kills else "none"
            if attempt(folder, features, kind, chance):
                break
            counts[kind] += 1
        wrong += [(runs, features, what) for what in compare(folder, *truths[number])]
        shutil.rmtree(folder)
        runs += 1
    return counts, runs, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as places:
        counts, runs, wrong = soak(args.kills, args.seed, Path(places))
    told = ", ".join(f"{count} in {kind}" for kind, count in counts.items())
    print(f"{sum(counts.values())} kills ({told}) over {runs} runs of {len(MENU)} kinds, "
          f"{time.monotonic() - began:.0f} s: {len(wrong)} differences")  # fmt: skip
    for number, features, what in wrong:
        print(f"  run {number}: {what} of {features}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

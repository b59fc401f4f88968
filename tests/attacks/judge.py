"""Run the reader over the catalog in guarded children, and count what it did.

``python -m tests.attacks.judge [NAME...]`` prints the figures and every case that failed.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.attacks.build_pickle import CANARY_MODULE
from tests.attacks.case import Built, Case
from tests.attacks.catalog import honest_cases, hostile_cases

ROOT = Path(__file__).parents[2]
HARD_SECONDS = 30  # for all stages of a case together, each of which has an alarm of its own
EXTRA_NBYTES = 64 << 20

CANARY_SOURCE = """
import os
open(os.environ["CKPTKIT_CANARY"], "w").close()
def touch(*args, **kwargs):
    open(os.environ["CKPTKIT_CANARY"], "w").close()
"""


class Job(NamedTuple):
    """A case on disk."""

    case: Case
    built: Built


class Finding(NamedTuple):
    """What the child said of a case, and what is wrong with that, by figure."""

    case: Case
    told: dict[str, Any]
    wrong: dict[str, str]


def build_all(cases: Iterable[Case], folder: Path) -> list[Job]:
    """Write every case into a folder of its own."""
    jobs = []
    for case in cases:
        home = folder / case.name[:120]
        home.mkdir()
        jobs.append(Job(case, case.build(home)))
    return jobs


class Child:
    """A worker process; a new one is started when the old one dies or hangs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules = folder / "modules"
        self._modules.mkdir(exist_ok=True)
        (self._modules / f"{CANARY_MODULE}.py").write_text(CANARY_SOURCE)
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, job: Job) -> dict[str, Any]:
        """Hand one case over and wait for the answer."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        canary = job.built.path.parent / "canary"
        line = json.dumps(
            {"name": job.case.name, "path": str(job.built.path), "canary": str(canary)}
        )
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], HARD_SECONDS)
        answer = self._process.stdout.readline() if ready else b""
        if answer:
            told: dict[str, Any] = json.loads(answer)
            return told
        self._process.kill()
        code = self.close()
        return {
            "escaped": f"the process hung or died (exit {code}): {self._last_words()}",
            "executed": [],
        }

    def _last_words(self) -> str:
        text = (self._folder / f"stderr-{id(self)}").read_text(errors="replace").strip()
        return text[-300:]

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(ROOT), str(self._modules)])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        with (self._folder / f"stderr-{id(self)}").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.attacks.judge_worker"], cwd=self._folder,
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def close(self) -> int:
        """End the process and let go of its pipes; its exit status."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        with process:  # closes both pipes, so that the loop of the child ends, and waits
            pass
        return process.returncode


def run(jobs: Sequence[Job], folder: Path, workers: int = 2) -> list[dict[str, Any]]:
    """Ask children about every job; the answers come in the order of the jobs."""
    answers: list[dict[str, Any]] = [{} for _ in jobs]
    turn = iter(range(len(jobs)))
    lock = threading.Lock()

    def work() -> None:
        child = Child(folder)
        while True:
            with lock:
                index = next(turn, None)
            if index is None:
                child.close()
                return
            answers[index] = child.ask(jobs[index])

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def judge(job: Job, told: dict[str, Any], allowed: frozenset[str]) -> Finding:
    """Compare what happened with what the case asks for."""
    case, wrong = job.case, {}
    if told.get("executed"):
        wrong["executed"] = str(told["executed"][:3])
    news = [name for name in told.get("imported", ()) if name not in allowed]
    if case.kind == "hostile" and news:
        wrong["imported"] = str(news[:5])
    if problem := not_handled(case, told):
        wrong["handled"] = problem
    scan = told.get("scan", {"names": [], "danger": False})
    if case.kind == "hostile":
        listed = {tuple(name) for name in scan["names"]}
        missing = [name for name in case.names if name not in listed]
        if missing or (case.alarm and not scan["danger"]):
            wrong["reported"] = (
                f"missing {missing}, danger {scan['danger']}, listed {sorted(listed)[:6]}"
            )
    else:
        if scan["danger"] or scan.get("exit_code"):
            wrong["false alarms"] = f"exit {scan.get('exit_code')}, listed {scan['names'][:8]}"
        if problem := not_exact(job.built, told) or not_recovered(told):
            wrong["exact"] = problem
    return Finding(case, told, wrong)


def not_handled(case: Case, told: dict[str, Any]) -> str:
    """Why the case was not handled, or ""."""
    if told["escaped"]:
        return str(told["escaped"])
    limit = 2 * told["file_nbytes"] + EXTRA_NBYTES
    if told["extra_nbytes"] > limit:
        return f"took {told['extra_nbytes'] >> 20} MB for a file of {told['file_nbytes']} bytes"
    failed = bool(told["use_errors"]) or not told["opened"] or told["refused"]
    if case.outcome == "refused" and not failed and told["tensors"]:
        return f"gave out {told['tensors'][:2]} instead of refusing"
    if case.outcome == "opened" and failed:
        return f"refused: {told['error'] or told['use_errors']}"
    return ""


def not_exact(built: Built, told: dict[str, Any]) -> str:
    """How the tensors differ from those of torch, or ""."""
    if built.tensors is None or "tensors" not in told:
        return "nobody knows"
    wanted = Counter((t.dtype, t.shape, t.sha256[:12]) for t in built.tensors)
    got = Counter((d, tuple(s), h[:12]) for d, s, h in told["tensors"])
    if wanted == got:
        return ""
    error = told["error"] or told["use_errors"] or ""
    return f"lacks {list((wanted - got).elements())[:4]}, has instead {list((got - wanted).elements())[:4]} {error}"


def not_recovered(told: dict[str, Any]) -> str:
    """What ``recover`` misses or doubts of a file that is whole, or ""."""
    lost = str(told.get("recover", ""))
    return f"recover: {lost}" if lost and told["opened"] and not told["error"] else ""


def judge_all(cases: Sequence[Case], folder: Path) -> list[Finding]:
    """Build, run and judge; honest cases first, because they say what a reader may import."""
    jobs = build_all(sorted(cases, key=lambda case: case.kind), folder)
    honest = [job for job in jobs if job.case.kind == "honest"]
    hostile = [job for job in jobs if job.case.kind == "hostile"]
    told = run(honest, folder)
    allowed = frozenset(name for answer in told for name in answer.get("imported", ()))
    findings = [judge(job, answer, allowed) for job, answer in zip(honest, told, strict=True)]
    told = run(hostile, folder)
    return findings + [
        judge(job, answer, allowed) for job, answer in zip(hostile, told, strict=True)
    ]


def figures(findings: Sequence[Finding]) -> dict[str, int]:
    """The numbers that the project publishes."""
    hostile = [f for f in findings if f.case.kind == "hostile"]
    honest = [f for f in findings if f.case.kind == "honest"]
    named = [f for f in hostile if f.case.names or f.case.alarm]
    return {
        "hostile": len(hostile),
        "handled": sum("handled" not in f.wrong for f in hostile),
        "executed": sum("executed" in f.wrong for f in findings),
        "imported": sum("imported" in f.wrong for f in findings),
        "with names": len(named),
        "reported": sum("reported" not in f.wrong for f in named),
        "honest": len(honest),
        "tensors": sum(len(f.told.get("tensors", ())) for f in honest),
        "exact": sum(not ({"exact", "handled"} & set(f.wrong)) for f in honest),
        "false alarms": sum("false alarms" in f.wrong for f in honest),
    }


def main(patterns: Sequence[str]) -> int:
    """Judge the cases whose name contains a pattern (all without one) and print."""
    chosen = [
        case for case in (*hostile_cases(), *honest_cases())
        if not patterns or any(pattern in case.name for pattern in patterns)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        findings = judge_all(chosen, Path(folder))
    for finding in findings:
        for figure, problem in finding.wrong.items():
            print(f"{figure:12} {finding.case.group} / {finding.case.name}: {problem}")
    print(", ".join(f"{name} {value}" for name, value in figures(findings).items()))
    slowest = max(findings, key=lambda f: float(f.told.get("seconds", 0)))
    print(f"slowest: {slowest.case.name} {slowest.told.get('seconds')} s")
    return int(any(finding.wrong for finding in findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The child that opens, uses and scans one case after the other, and tells what happened.

Reads JSON lines {"name", "path", "canary"} and answers with one JSON line each. It watches
itself: an audit hook notes whatever no reader needs, and modules that were not there before.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

SECONDS = 5.0  # of processor time, so that a busy machine does not fail an innocent reader
ADDRESS_SPACE = 3 << 30
CHUNK = 1 << 20
MOST_READ = 64 << 20  # of a tensor that is larger than this, only both ends are read

FORBIDDEN = (
    "os.", "subprocess.", "socket.", "ctypes.", "pty.", "shutil.", "webbrowser.", "urllib.", "pickle.",
    "http.", "ftplib.", "smtplib.", "tempfile.", "code.", "sys.set", "sqlite3.", "builtins.input", "builtins.breakpoint",
)  # fmt: skip
HARMLESS = {"os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.getxattr", "os.listxattr"}


class TooSlow(BaseException):
    """The alarm rang; no ``except Exception`` may swallow it."""


class Watch:
    """What the interpreter was seen doing during one case."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.active = False

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """An audit hook."""
        if not self.active:
            return
        if event == "open":
            mode, flags = args[1], args[2]
            writes = isinstance(mode, str) and set(mode) & set("wax+")
            if writes or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            ):
                self.events.append(f"open for writing: {args[0]!r:.80}")
        elif event in ("exec", "compile"):
            code = args[0] if event == "exec" else args[1]
            file = str(getattr(code, "co_filename", code))
            if file.startswith("<") and not file.startswith("<frozen"):
                self.events.append(f"{event} {file:.80}")
        elif event.startswith(FORBIDDEN) and event not in HARMLESS:
            self.events.append(f"{event} {args!r:.80}")


def start_clock(seconds: float = SECONDS) -> None:
    """Let the alarm ring after so much work, or after three times as much waiting."""
    for which in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(which, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 3 * seconds)


def stop_clock() -> None:
    """Silence the alarm."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def ring(*_: object) -> None:
    """Handle the alarm."""
    raise TooSlow


def import_everything() -> None:
    """Import the reader's own modules: what is new afterwards was not the reader's idea."""
    import ckptkit

    skipped = (
        "ckptkit.cli",
        "ckptkit.testing",
        "ckptkit.run",
        "ckptkit.torch_bridge",
        "ckptkit.__main__",
    )
    for info in pkgutil.walk_packages(ckptkit.__path__, "ckptkit."):
        if not info.name.startswith(skipped):
            importlib.import_module(info.name)


def use(root: Any) -> tuple[list[list[Any]], list[BaseException]]:
    """Read every tensor and every side file that the tree holds."""
    from ckptkit.containers.logical import logical_source
    from ckptkit.errors import CkptkitError
    from ckptkit.nodes import BlobNode, TensorNode
    from ckptkit.tree import path_text, walk

    tensors: list[list[Any]] = []
    errors: list[BaseException] = []
    met: dict[int, Any] = {}  # a leaf that is reached by two ways counts once
    for path, node in walk(root):
        try:
            if id(node) in met:
                continue
            if isinstance(node, TensorNode) and node.storage.source is not None:
                met[id(node)] = node
                path_text(path)
                digest = read_all(logical_source(node))
                tensors.append([node.dtype.name, list(node.shape), digest])
            elif isinstance(node, BlobNode):
                read_all(node.source)
        except CkptkitError as exc:
            errors.append(exc)
    return tensors, errors


def read_all(source: Any) -> str:
    """Hash a source; of a huge one only the first and last bytes."""
    hasher = hashlib.sha256()
    buffer = bytearray(CHUNK)
    starts = list(range(0, source.nbytes, CHUNK))
    if source.nbytes > MOST_READ:
        starts = [0, source.nbytes - CHUNK]
    for start in starts:
        piece = memoryview(buffer)[: min(CHUNK, source.nbytes - start)]
        source.read_into(start, piece)
        hasher.update(piece)
    return hasher.hexdigest()


def scan(path: Path) -> dict[str, Any]:
    """Ask for the verdict of ``ckptkit scan``."""
    from ckptkit.verbs import scan as verb

    report = verb.scan(path)
    finding = report.finding()
    code = 0 if finding is None else finding.exit_code
    names = [[row.use.module, row.use.qualname] for row in report.rows]
    return {"names": names, "danger": code == 60, "exit_code": code, "verdict": report.verdict}


def recover(path: Path) -> str:
    """Ask ``ckptkit recover``, without writing, what is left; say what it does not vouch for."""
    from ckptkit.verbs import recover as verb

    options = verb.RecoverOptions(dry_run=True)
    report = verb.recover(path, path.parent / "recovered", options)
    finding = report.finding()
    return "" if finding is None else f"{finding}: {[*report.lost[:2], *report.guessed[:2]]}"


def attempt(path: Path) -> dict[str, Any]:
    """Open a case, use it, interpret it, scan it, and recover what is left of it."""
    from ckptkit.errors import CkptkitError, DialectError
    from ckptkit.verbs import inspect as inspecting
    from ckptkit.verbs import open as opening

    out: dict[str, Any] = {
        "opened": False,
        "error": "",
        "tensors": [],
        "use_errors": [],
        "escaped": "",
        "refused": False,
    }
    stage = "open"
    try:
        try:
            opened = opening.open_container(path)
            out["opened"] = True
            stage = "use"
            tensors, errors = use(opened.root)
            out["tensors"], out["use_errors"] = (
                tensors,
                [f"{type(e).__name__}: {e!s:.300}" for e in errors[:5]],
            )
            stage = "check"
            start_clock()
            for _ in opened.checks():
                pass
            opened.close()
            stage = "load"
            start_clock()
            with opening.load(path) as checkpoint:
                if checkpoint.sealed is not None:
                    out["tensors"], errors = use(checkpoint.document)
                    out["use_errors"] += [f"{type(e).__name__}: {e!s:.300}" for e in errors[:5]]
                stage = "inspect"
                start_clock()
                inspecting.survey(checkpoint)
        except DialectError as exc:
            out["error"] = f"{type(exc).__name__}: {exc!s:.300}"
        except CkptkitError as exc:
            out["refused"] = True
            out["error"] = f"{type(exc).__name__}: {exc!s:.300}"
        stage = "scan"
        start_clock()
        try:
            out["scan"] = scan(path)
        except CkptkitError as exc:
            out["scan"] = {"names": [], "danger": exc.exit_code == 60, "exit_code": exc.exit_code}
        stage = "recover"
        opened = checkpoint = tensors = errors = (
            None  # it is a command of its own, in the same room
        )
        start_clock()
        try:
            out["recover"] = recover(path)
        except CkptkitError as exc:
            out["recover"] = f"{type(exc).__name__}: {exc!s:.300}"
    except TooSlow:
        out["escaped"] = f"{stage}: more than {SECONDS:.0f} s, at {last_frames()}"
    except BaseException as exc:
        frames = traceback.extract_tb(exc.__traceback__)
        place = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-4:]))
        out["escaped"] = f"{stage}: {type(exc).__name__}: {exc!s:.200} at {place}"
    return out


def last_frames() -> str:
    """Where the code was when the alarm rang."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    return " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-4:]))


def peak_nbytes() -> int:
    """Highest resident size since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> int:
    """Begin a new measurement; returns what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def size_of(path: Path) -> int:
    """Bytes of a file or of all files of a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(p.lstat().st_size for p in path.rglob("*") if not p.is_symlink())
    return path.lstat().st_size


def main() -> None:
    """Answer jobs until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    import_everything()
    watch = Watch()
    sys.addaudithook(watch.hook)
    for line in sys.stdin:
        job = json.loads(line)
        path, canary = Path(job["path"]), Path(job["canary"])
        os.environ["CKPTKIT_CANARY"] = str(canary)
        before, base = set(sys.modules), reset_peak()
        watch.events, watch.active = [], True
        started = time.monotonic()
        start_clock()
        try:
            out = attempt(path)
        except TooSlow:
            out = {
                "opened": False,
                "error": "",
                "tensors": [],
                "use_errors": [],
                "escaped": "too slow at the very end",
            }
        stop_clock()
        watch.active = False
        out |= {
            "name": job["name"],
            "seconds": round(time.monotonic() - started, 3),
            "executed": watch.events + (["canary"] if canary.exists() else []),
            "imported": sorted(set(sys.modules) - before),
            "extra_nbytes": peak_nbytes() - base,
            "file_nbytes": size_of(path),
        }
        print(json.dumps(out), flush=True)


if __name__ == "__main__":
    main()

"""Start scripts as ``python SCRIPT ...`` does, in forks of a process that has imported torch already.

What a script can see of its start is the same: arguments, folder, environment, streams, signals,
``__main__``, and an end by the interpreter itself, with its traceback and its exit code. Only the
seconds that every import of torch takes are spent once. The process that forks computes nothing.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SLOW = (
    "torch._dynamo", "torch.nn.parallel.distributed", "torch.distributed.launcher.api",
    "ckptkit.run.run", "ckptkit.verbs.save", "ckptkit.verbs.restore",
)  # fmt: skip


class Ended(NamedTuple):
    """Its exit code, or minus the signal's number, and all that it said on both streams."""

    code: int
    said: str


class Preloaded:
    """The process that forks; one script runs after another."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        # by its path: the interpreter ends a script, not a module, by the signal that ended it
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip

    def __enter__(self) -> Preloaded:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()  # its input ends, and so does it

    def run(self, words: list[str], said: Path, *, cwd: Path, env: dict[str, str]) -> Ended:
        """Run a script with its arguments until its end; ``said`` is the file of its streams."""
        asked = {"words": words, "said": str(said.absolute()), "cwd": str(cwd), "env": env}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        return Ended(code, said.read_text(errors="replace"))


# -- the other side ------------------------------------------------------------------------------


def serve() -> dict[str, object] | None:
    """Fork for every line and answer with the exit code; in the fork, return what is asked of it."""
    for module in SLOW:
        import_module(module)
    gc.freeze()  # no collection of a fork walks, and copies, what was imported here
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            return dict(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def become(asked: dict[str, object]) -> str:
    """Be as an interpreter that was just started; return the script."""
    import random

    import numpy as np

    os.setpgid(0, 0)  # what it sends to its group meets no other
    streams = os.open(str(asked["said"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, streams), (2, streams)):
        os.dup2(source, target)
    os.close(streams)
    os.close(nothing)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  the fork's own, without what is read
    os.chdir(str(asked["cwd"]))
    os.environ.clear()
    os.environ.update(asked["env"])  # type: ignore[call-overload]
    sys.argv = [str(word) for word in asked["words"]]  # type: ignore[attr-defined]
    sys.orig_argv = [sys.executable, *sys.argv]
    sys.path[0] = str(Path(sys.argv[0]).absolute().parent)
    random.seed()  # every interpreter begins elsewhere
    np.random.seed()  # noqa: NPY002
    return sys.argv[0]


if __name__ == "__main__":
    wanted = serve()
    if wanted is not None:
        runpy.run_path(become(wanted), run_name="__main__")

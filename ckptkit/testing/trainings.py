"""Trainings in processes of their own, which may be killed; their libraries are imported once.

``python -m ckptkit.testing.trainings NAME`` imports a trainer and then forks itself for every line
that it reads; ``Trainings`` speaks with it. The process that forks computes nothing itself.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Self, TextIO

from ckptkit.protocols import Trainer
from ckptkit.testing.killing import Moment, signal_at
from ckptkit.training.build import Layer, build
from ckptkit.training.find import find_action, find_trainer
from ckptkit.training.named import named
from ckptkit.training.run_it import do, plan_deed

ALL = -1  # processes of a training


class Blow(NamedTuple):
    """A signal at a moment of a training. ``rank``: to which of several processes, or ``ALL``."""

    moment: Moment
    countdown: int
    number: int = 9
    rank: int = 0


class Ended(NamedTuple):
    """How a process ended: its exit code, or minus the signal's number, and what it said."""

    code: int
    said: str


class Trainings:
    """Starts trainings and actions of one trainer, each in a process of its own."""

    def __init__(self, trainer: str, *, timeout_s: float = 300.0) -> None:
        """``timeout_s``: how long one of them may take before it counts as hanging."""
        command = [sys.executable, "-m", __spec__.name, trainer]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._timeout_s = timeout_s
        self._server = subprocess.Popen(  # noqa: S603  it is ourselves
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()  # it has nothing of its own to finish
        self._server.communicate()

    def train(
        self, folder: Path, settings: Mapping[str, Any], *, resume: str = "auto",
        blow: Blow | None = None, processes: int = 1,
    ) -> Ended:  # fmt: skip
        """Train in ``folder`` until the target or the blow."""
        asked = {
            "do": "train", "folder": str(folder), "settings": dict(settings), "resume": resume,
            "blow": blow, "processes": processes,
        }  # fmt: skip
        return self._ask(asked, folder.parent)

    def act(
        self, action: str, checkpoint: Path, settings: Mapping[str, Any],
        options: Mapping[str, Any], result: Path,
    ) -> Ended:  # fmt: skip
        """Run an action of the trainer; ``result`` is the JSON file of what it returns."""
        asked = {
            "do": "act", "action": action, "checkpoint": str(checkpoint), "result": str(result),
            "settings": dict(settings), "options": dict(options),
        }  # fmt: skip
        return self._ask(asked, result.parent)

    def _ask(self, asked: dict[str, Any], place: Path) -> Ended:
        place.mkdir(parents=True, exist_ok=True)
        words = place / "said.txt"
        asked |= {"said": str(words), "timeout_s": self._timeout_s}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        line = self._server.stdout.readline()
        assert line, "the trainer cannot be imported; its traceback is on stderr"
        return Ended(json.loads(line)["code"], words.read_text(errors="replace"))


# -- the other side ------------------------------------------------------------------------------


def serve(name: str, lines: TextIO, answers: TextIO) -> None:
    """Fork for every line, wait for the end, and answer with its code."""
    trainer = find_trainer(name)
    _import_what_is_slow()
    work = {"train": _trainer_of(trainer), "act": _actor_of(trainer)}
    for line in lines:
        asked = json.loads(line)
        code = _in_fork(partial(work[asked["do"]], asked), asked)
        answers.write(json.dumps({"code": code}) + "\n")
        answers.flush()


def _import_what_is_slow() -> None:
    """Have what a training imports on its way: no fork need do it again."""
    for module in (
        "torch._dynamo", "torch.utils.tensorboard", "ckptkit.run.run", "ckptkit.verbs.save",
        "ckptkit.verbs.restore",
    ):  # fmt: skip
        with suppress(ImportError):
            import_module(module)


def _begin_streams() -> None:
    """Begin the streams that a trainer may have left without a seed: alike in every fork."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  it is the global one that is meant
    torch.manual_seed(0)


def _in_fork(work: Callable[[], None], asked: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        os.setpgid(0, 0)
        words = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(words, stream)
        _end_after(asked["timeout_s"])
        _begin_streams()
        work()
        status = 0
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 1
    except BaseException:  # noqa: BLE001  whatever it is, it is told, and the fork ends here
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def _end_after(seconds: float) -> None:
    """Let a training that hangs end with all its stacks shown."""
    import faulthandler

    faulthandler.dump_traceback_later(seconds, exit=True)


def _trainer_of(trainer: Trainer) -> Callable[[Mapping[str, Any]], None]:
    train = named(trainer, trainer.train, "train")

    def work(asked: Mapping[str, Any]) -> None:
        blow = None if asked["blow"] is None else Blow(*asked["blow"])
        if asked["processes"] > 1:
            train_together(asked["processes"], lambda: one(asked, blow, group=False))
        else:
            one(asked, blow, group=True)

    def one(asked: Mapping[str, Any], blow: Blow | None, *, group: bool) -> None:
        if blow is not None and blow.rank in (ALL, int(os.environ.get("RANK", "0"))):
            signal_at(blow.moment, blow.countdown, blow.number, group=group)
        config = build(trainer, [_settings(asked)]).config
        train(config, asked["folder"], resume=asked["resume"])

    return work


def train_together(processes: int, work: Callable[[], None]) -> None:
    """Do it in several processes, as torchrun does; its launcher can fork, too.

    Each begins without the launcher's handlers, which raise: those of torchrun inherit none.
    """
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id="contract",
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork", max_restarts=0,
        monitor_interval=0.1,
    )  # fmt: skip

    def begin() -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        work()

    elastic_launch(config, begin)()


def _actor_of(trainer: Trainer) -> Callable[[Mapping[str, Any]], None]:
    def work(asked: Mapping[str, Any]) -> None:
        deed = plan_deed(
            trainer, find_action(trainer, asked["action"]), Path(asked["checkpoint"]),
            settings=[_settings(asked)], options=Layer("the options", asked["options"]),
        )  # fmt: skip
        Path(asked["result"]).write_text(json.dumps(do(deed)))

    return work


def _settings(asked: Mapping[str, Any]) -> Layer:
    return Layer("the settings", asked["settings"])


if __name__ == "__main__":
    serve(sys.argv[1], sys.stdin, sys.stdout)

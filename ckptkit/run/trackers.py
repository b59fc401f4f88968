"""Experiment trackers that go on without a gap or an overlap: TensorBoard, Weights & Biases.

Each keeps what it needs for that in the section ``trackers`` of every checkpoint.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ckptkit.errors import MissingExtraError, SettingError
from ckptkit.run.mark import Mark
from ckptkit.run.tell import Tell
from ckptkit.run.wandb import WandB
from ckptkit.torch_bridge.capture import capture_state


class Tracker(Protocol):
    """What the run needs of a tracker."""

    name: str

    def open(self, logs: Path, stored: Mapping[str, Any] | None, step: int) -> None:
        """Begin, or go on behind ``step`` with what ``state`` gave last time."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Record values at a step."""

    def flush(self) -> None:
        """Let what was logged survive a kill: a checkpoint that stands behind it is coming."""

    def state(self) -> dict[str, Any]:
        """What going on from here needs, as plain data without absolute paths."""

    def close(self) -> None:
        """Flush and let go."""


class TensorBoard:
    """Event files in ``logs/``, or in ``folder``; a resume hides what was logged behind its step.

    By TensorBoard's purge_step, which hides whole steps: what the checkpoint's own step had logged
    before it was saved is written once more, what it logged afterwards is not.
    """

    name = "tensorboard"

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, *, flush_s: float = 30.0
    ) -> None:
        self._folder, self._flush_s = folder, flush_s
        self._writer: Any = None
        self._recent: list[tuple[int, str, float]] = []  # of the last two steps: see ``state``

    def open(self, logs: Path, stored: Mapping[str, Any] | None, step: int) -> None:
        """Open a writer. Raises: MissingExtraError."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as exc:
            raise MissingExtraError(
                "TensorBoard", "is not installed", "the package tensorboard",
                "pip install tensorboard, or run without this tracker",
            ) from exc  # fmt: skip
        logs = logs if self._folder is None else Path(self._folder)
        used = any(logs.glob("events.out.tfevents.*"))  # by a run that died, too
        rows = (stored or {}).get("recent")
        again = [row for row in rows or () if row[0] >= step] if used else []
        purge = (step + 1 if rows is None else step) if used else None
        _wait_for_a_later_name(logs)
        self._writer = SummaryWriter(str(logs), purge_step=purge, flush_secs=int(self._flush_s))
        for at, name, value in again:
            self.log({name: value}, at)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One scalar a name."""
        self._recent = [row for row in self._recent if row[0] >= step - 1]
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
            self._recent.append((step, name, value))

    def flush(self) -> None:
        """Write out what the writer's thread still has."""
        self._writer.flush()

    def state(self) -> dict[str, Any]:
        """What its last steps have logged, and no path: a run folder holds none to another."""
        recent = [list(row) for row in self._recent]
        return {"folder": "logs" if self._folder is None else "", "recent": recent}

    def close(self) -> None:
        """Write everything out."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _wait_for_a_later_name(logs: Path) -> None:
    """Let the clock's second pass in which the newest event file was begun.

    TensorBoard reads event files in the order of their names: the second, then the host, then the
    process id. Of two sessions that begin in one second, the later may have the smaller id.
    """
    begun = [path.name.split(".")[3] for path in logs.glob("events.out.tfevents.*.*")]
    newest = max((int(second) for second in begun if second.isdigit()), default=0)
    for _ in range(_NAME_TRIES):  # a file from the future is not waited for
        if int(time.time()) > newest:
            return
        time.sleep(_NAME_WAIT_S)


_NAME_TRIES, _NAME_WAIT_S = 60, 0.02


KNOWN: dict[str, Callable[[], Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB}


_NEEDS = ("name", "open", "log", "flush", "state", "close")


def check_trackers(wanted: Sequence[Tracker | str]) -> None:
    """Refuse what is no list of trackers. Raises: SettingError."""
    if isinstance(wanted, str) or not isinstance(wanted, Sequence):
        raise _no_tracker(repr(wanted), "a list of trackers")
    for one in wanted:
        if isinstance(one, str) and one not in KNOWN:
            raise _no_tracker(f"{one!r} is unknown", " and ".join(KNOWN))
        missing = [need for need in _NEEDS if not isinstance(one, str) and not hasattr(one, need)]
        if missing:
            raise _no_tracker(f"a {type(one).__name__} has no {', '.join(missing)}", "a tracker")


def _no_tracker(seen: str, expected: str) -> SettingError:
    return SettingError(
        "trackers", f"{seen:.80}", f"{expected}; each a name or an object of your own",
        'write trackers=["tensorboard"]; docs/resume.md says what one of your own has to have',
    )  # fmt: skip


class Trackers:
    """All trackers of a run, as one; what they need is kept as of the run's last mark.

    A tracker is not the training: behind ``open``, one that fails is told, once for each thing
    that it fails at, and costs no step, no save and no exit code.
    """

    def __init__(self, wanted: Sequence[Tracker | str], tell: Tell) -> None:
        self._all: list[Tracker] = [KNOWN[one]() if isinstance(one, str) else one for one in wanted]
        self._tell, self._told = tell, set[tuple[str, str]]()
        self._mark: Mark | None = None
        self._state: dict[str, Any] = {}

    def open(self, logs: Path, stored: Mapping[str, Any], mark: Mark) -> None:
        """Open each with what was stored under its name.

        Raises: what that raises; UnrepresentableError for a state that no save could take.
        """
        for one in self._all:
            one.open(logs, stored.get(one.name), mark.steps)
        self._reach(mark)
        capture_state({"trackers": self._state})

    def log(self, values: Mapping[str, float], step: int, mark: Mark) -> None:
        """Hand values to each; ``mark`` is where a resume of now would begin."""
        self._reach(mark)
        for one in self._all:
            self._try(one, "log", partial(one.log, values, step))

    def state_at(self, mark: Mark) -> dict[str, Any]:
        """The section ``trackers`` of a checkpoint of ``mark``: what was logged since is no part.

        All that was logged is on disk afterwards, unless its tracker failed.
        """
        self._reach(mark)
        for one in self._all:
            self._try(one, "flush", one.flush)
        return self._state

    def _reach(self, mark: Mark) -> None:
        """Keep what each needs where the mark was put: nothing was logged since then.

        Of one that fails the last that is known is kept.
        """
        if mark is not self._mark:
            self._mark = mark
            now = {one.name: self._try(one, "state", one.state) for one in self._all}
            known = {name: state for name, state in now.items() if state is not None}
            self._state = {**self._state, **known}

    def close(self) -> None:
        """Close each, in reverse order."""
        for one in reversed(self._all):
            self._try(one, "close", one.close)

    def _try(self, one: Tracker, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as exc:  # noqa: BLE001  whatever it is: the training goes on
            if (one.name, what) not in self._told:
                self._told.add((one.name, what))
                self._tell(
                    f"the tracker {one.name} failed to {_DEEDS[what]}: {type(exc).__name__}: "
                    f"{exc!s:.200}; the training goes on, and the run's own history has the values"
                )
            return None


_DEEDS = {
    "log": "take a value",
    "flush": "write out what was logged",
    "state": "say where it stands",
    "close": "close",
}

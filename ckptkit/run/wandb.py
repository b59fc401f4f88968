"""Weights & Biases: a resume is the same run, without an overlap, and without a gap.

W&B counts rows and takes none whose number is not above those it has. So each call of ``log`` has
a number that the checkpoint keeps, and a resume hands in what is missing and nothing else. The
step is a metric, and the axis of all others, because one step may have several rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptkit.errors import MissingExtraError, SettingError
from ckptkit.run.wandb_file import read_tail, rows_in_files
from ckptkit.run.wandb_rows import Row, Rows

_ELSEWHERE = frozenset({"resume", "resume_from", "fork_from"})  # exclude each other


class WandB:
    """A run of Weights & Biases whose id travels in the checkpoint, so that it is the same run.

    ``options`` go to ``wandb.init`` (project, entity, mode="offline", ...). An ``id`` among them
    that is not the stored one begins a run that has the rows up to here.
    """

    name = "wandb"

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._run: Any = None

    def open(
        self,
        logs: Path,
        stored: Mapping[str, Any] | None,
        step: int,  # noqa: ARG002  rows are counted here, not steps
    ) -> None:
        """Begin a run, or go on with the stored one. Raises: MissingExtraError, SettingError."""
        try:
            import wandb
        except ImportError as exc:
            raise MissingExtraError(
                "wandb", "is not installed", "the package wandb",
                "pip install wandb, or run without this tracker",
            ) from exc  # fmt: skip
        stored = stored or {}
        options = {"dir": str(logs), **self._options}
        if stored.get("id"):
            options = {"id": stored["id"], **options}
            if not _ELSEWHERE & options.keys():
                options["resume"] = "allow"  # "must" refuses what was never synced
        try:
            self._run = wandb.init(**options)
        except wandb.errors.Error as exc:
            raise SettingError(
                "wandb", f"did not begin: {exc!s:.200}", "a login, or its offline mode",
                "wandb login, or set WANDB_MODE=offline",
            ) from exc  # fmt: skip
        self._run.define_metric("*", step_metric="step")
        self._count = int(stored.get("rows") or 0)
        self._rows = Rows(logs, self._count)
        self._there = self._run.starting_step  # rows that the server has
        if self._run.offline:
            self._there = rows_in_files(logs, self._run.id)
        if self._there > self._count:
            wandb.termlog(f"has {self._there - self._count} rows behind the checkpoint already")
        for row in self._rows.read(self._there):
            self._hand_in(row)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One row, if it is not there yet."""
        row = Row(self._count, step, dict(values))
        self._count += 1
        self._rows.add(row)
        if row.number >= self._there:
            self._hand_in(row)

    def _hand_in(self, row: Row) -> None:
        self._run.log({**row.values, "step": row.step}, step=row.number, commit=True)

    def flush(self) -> None:
        """Write our own copy of the rows; W&B has no flush."""
        self._rows.flush()

    def state(self) -> dict[str, Any]:
        """The id by which the run goes on, and how many rows it had."""
        return {"id": self._run.id, "rows": self._count}

    def close(self) -> None:
        """Finish."""
        if self._run is not None:
            self._rows.flush()
            self._run.finish()
            _wait_for(Path(self._run.settings.sync_file))
            self._run = None


def _wait_for(file: Path) -> None:
    """Let W&B's program close its file: ``finish`` returns before, and refuses the id until then.

    It matters where one process resumes its own run, as a notebook does.
    """
    for _ in range(_CLOSE_TRIES):
        if not file.exists() or read_tail(file).ended:
            return
        time.sleep(_CLOSE_WAIT_S)


_CLOSE_TRIES, _CLOSE_WAIT_S = 200, 0.02

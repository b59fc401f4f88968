"""The last thing a failed run does: save what the last completed step left, and tell."""

from __future__ import annotations

import sys
import time
from typing import Any

from ckptkit.run.emergency import classify, smaller_batch_command
from ckptkit.run.history import Event
from ckptkit.run.loop import Loop
from ckptkit.run.saver import Saver
from ckptkit.run.tell import GO_ON, Tell

_TOLD = 3  # modules that are named


def save_failed(
    error: BaseException, saver: Saver, loop: Loop, tell: Tell, *, batch_size: Any
) -> None:
    """Save under an emergency's name; never raises, because ``error`` is what must be seen.

    Where the weights are no longer those of a completed step nothing is saved, and the newest
    regular checkpoint is what there is.
    """
    mark = loop.mark
    if torn := loop.torn:
        saver.settle()  # it may be the newest
        tell(f"{torn}, so nothing is saved of it; {saver.newest}")
        return
    loop.put_back()
    moved = loop.moved_buffers
    found = classify(error, mark.epochs + 1)
    detail = f"{type(error).__name__}: {error}"[:200]
    event = Event(found.kind, mark.epochs, mark.steps, time.time(), detail)
    saver.history.events.append(event)
    try:
        report = saver.emergency(found.name, mark, alone=True)
    except Exception as second:  # noqa: BLE001  ``error`` is what must be seen
        tell(f"{found.kind}, and it could not be saved: {second}; {saver.newest}")
        return
    if report is None:
        return  # another process writes
    where = f"epoch {mark.epochs}, step {mark.steps}"
    memory = found.kind == "out of memory"
    how = "" if memory else f"; {GO_ON}"
    tell(f"{found.kind}: saved {report.path.name} as of the last completed step ({where}){how}")
    if moved:
        tell(f"buffers have moved since that step, and are saved as they are: {_few(moved)}")
    if memory:
        size = batch_size if isinstance(batch_size, int) else None
        command = smaller_batch_command(sys.argv, size, str(report.path))
        tell(f"go on with a smaller batch: {command}")


def _few(names: list[str]) -> str:
    more = len(names) - _TOLD
    return ", ".join(names[:_TOLD]) + (f" and {more} more" if more > 0 else "")

"""Have a training killed, or told to stop, at a chosen moment: in a step, in a save, between."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Literal, get_args

Moment = Literal["forward", "step", "mark", "save"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)


def signal_at(
    moment: Moment, countdown: int, number: int = signal.SIGKILL, *, group: bool = True
) -> None:
    """Send a signal at the call that follows ``countdown`` others.

    "forward": a module computes. "step": before an optimizer's step and behind it. "mark": between
    two steps. "save": at a system call by which a checkpoint gets on the disk. ``group``: to all
    of this process's group, so that workers which load data go too; call ``os.setpgid(0, 0)``.
    """
    counted = _Counted(countdown, number, group=group)
    if moment == "forward":
        from torch.nn.modules.module import register_module_forward_pre_hook

        register_module_forward_pre_hook(counted)
    elif moment == "step":
        from torch.optim import optimizer

        optimizer.register_optimizer_step_pre_hook(counted)
        optimizer.register_optimizer_step_post_hook(counted)
    else:
        for room, name in _places(moment):
            setattr(room, name, counted.before(getattr(room, name)))


def _places(moment: Moment) -> list[tuple[Any, str]]:
    """Where a run looks back at a step, and by what a checkpoint gets on the disk."""
    if moment == "mark":
        from ckptkit.run import marking

        return [(marking, "take_mark")]
    from ckptkit.storage import kernel, writer

    names = ("sync", "sync_folder", "rename_noreplace", "rename_exchange")
    return [*((kernel, name) for name in names), (writer, "_write_all")]


class _Counted:
    """Counts its calls down, and sends the signal once, at the last."""

    def __init__(self, countdown: int, number: int, *, group: bool) -> None:
        self._left, self._number, self._group = countdown, number, group

    def __call__(self, *_: Any) -> None:
        self._left -= 1
        if self._left == -1:
            os.kill(0 if self._group else os.getpid(), self._number)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function``, counted."""

        def call(*args: Any, **options: Any) -> Any:
            self()
            return function(*args, **options)

        return call

"""The schedule's place, where a checkpoint knows the epoch and no schedule."""

from __future__ import annotations

import torch

import ckptkit


def catch_up(
    run: ckptkit.Run,
    scheduler: torch.optim.lr_scheduler.CosineAnnealingLR,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Bring a schedule that began anew to the run's epoch; one that was restored is there."""
    epoch = min(run.epoch, int(scheduler.T_max))
    if scheduler.last_epoch >= epoch:
        return
    scheduler.last_epoch, scheduler._step_count = epoch, epoch + 1  # noqa: SLF001  as in its state
    rates = scheduler._get_closed_form_lr()  # noqa: SLF001  torch's own for step(epoch)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = list(rates)  # noqa: SLF001
    run.tell(f"the schedule begins at epoch {epoch}, where the run stands: lr {rates[0]:.6g}")

"""What a script has moved since the mark: small things are put back, moved weights cannot be.

Between the last step of an epoch and its end a script steps schedules, counts and evaluates. A run
that must leave there saves what was true at the mark, so that the resume does all of it once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

import torch

_Undo = Callable[[], None]


class Moved:
    """Notes a state at a save point; tells later whether its weights are still those."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state
        self._undo: list[_Undo] = []
        self._versions: list[tuple[int, int]] | None = None
        self._gradients = False

    def note(self, *, weights: bool, gradients: bool = False) -> None:
        """Note the small state; ``weights`` too, which costs a look at every tensor.

        ``gradients``: some wait to be stepped with, and are part of the state.
        """
        self._undo = list(_undos(self._state, plain=weights))
        self._gradients = gradients
        self._versions = list(self._now()) if weights else None

    @property
    def weights(self) -> bool:
        """Whether a weight, an average or a waiting gradient was written to since, if noted."""
        return self._versions is not None and self._versions != list(self._now())

    def _now(self) -> Iterator[tuple[int, int]]:
        for tensor in _tensors(self._state, gradients=self._gradients):
            if not tensor.is_inference():
                yield id(tensor), tensor._version  # noqa: SLF001  torch counts writes in it

    def put_back(self) -> None:
        """Let schedules, scalers, groups of optimizers and plain data be as they were noted."""
        for undo in self._undo:
            undo()


def _undos(value: Any, *, plain: bool) -> Iterator[_Undo]:
    if isinstance(value, torch.optim.Optimizer):
        for group in value.param_groups:
            kept = {name: copy.deepcopy(one) for name, one in group.items() if name != "params"}
            yield partial(group.update, kept)
    elif isinstance(value, torch.optim.lr_scheduler.LRScheduler):
        stored = copy.deepcopy(value.state_dict())
        yield lambda: value.load_state_dict(stored)
    elif isinstance(value, torch.amp.GradScaler):
        yield from _scaler_undo(value)
    elif isinstance(value, Mapping):
        if plain and isinstance(value, MutableMapping):
            yield from _plain_undo(value)
        for one in value.values():
            yield from _undos(one, plain=plain)


def _scaler_undo(scaler: Any) -> Iterator[_Undo]:
    """Copies on the device: its ``state_dict`` would wait for the accelerator."""
    kept = {
        name: one.clone()
        for name in ("_scale", "_growth_tracker")
        if isinstance(one := getattr(scaler, name, None), torch.Tensor)
    }
    if kept:
        yield lambda: scaler.__dict__.update(kept)


def _plain_undo(value: MutableMapping[Any, Any]) -> Iterator[_Undo]:
    """The numbers and texts of a mapping and its lists of them; objects look after themselves."""
    kept = {k: copy.deepcopy(v) for k, v in value.items() if _is_plain(v)}
    if kept:
        yield lambda: value.update(kept)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, bytes))


def _tensors(value: Any, *, gradients: bool) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, torch.nn.Module):
        for parameter in value.parameters():
            yield parameter
            if gradients and parameter.grad is not None:
                yield parameter.grad
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors(one, gradients=gradients)
    elif isinstance(shadows := getattr(value, "shadow_params", None), list):
        yield from (one for one in shadows if isinstance(one, torch.Tensor))

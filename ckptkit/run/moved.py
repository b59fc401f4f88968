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

_Undo = Callable[[], object]
_SMALL_ITEMS = 256  # noted at every step: it takes microseconds
_KNOWN = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.amp.GradScaler)


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
        self._undo = list(_undos(self._state, whole=weights, seen=set()))
        self._gradients = gradients
        self._versions = list(self._now()) if weights else None

    @property
    def weights(self) -> bool:
        """Whether a weight, an average or a waiting gradient was written to since, if noted."""
        return self._versions is not None and self._versions != list(self._now())

    def _now(self) -> Iterator[tuple[int, int]]:
        for tensor in _tensors(self._state, gradients=self._gradients, seen=set()):
            if not tensor.is_inference():
                yield id(tensor), tensor._version  # noqa: SLF001  torch counts writes in it

    def put_back(self) -> None:
        """Let schedules, scalers, groups of optimizers and plain data be as they were noted."""
        with torch.no_grad():
            for undo in self._undo:
                undo()

    def again(self) -> Moved:
        """Another one of the same state, noted now with its weights."""
        other = Moved(self._state)
        other.note(weights=True)
        return other


def _undos(value: Any, *, whole: bool, seen: set[int]) -> Iterator[_Undo]:
    """``whole``: long lists too, which costs too much at every step. ``seen``: ids, for cycles."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.optim.Optimizer):
        for group in value.param_groups:
            kept = {name: copy.deepcopy(one) for name, one in group.items() if name != "params"}
            yield partial(group.update, kept)
    elif isinstance(value, torch.optim.lr_scheduler.LRScheduler):
        stored = copy.deepcopy(value.state_dict())
        yield lambda: value.load_state_dict(stored)
    elif isinstance(value, torch.amp.GradScaler):
        yield from _scaler_undo(value)
    elif isinstance(value, torch.Tensor):
        yield from _tensor_undo(value)
    elif (inside := _inside(value)) is not None:
        if isinstance(inside, MutableMapping) and (whole or len(inside) <= _SMALL_ITEMS):
            yield from _plain_undo(inside, whole=whole)
        for one in inside.values():
            yield from _undos(one, whole=whole, seen=seen)


def _inside(value: Any) -> Mapping[Any, Any] | None:
    """What a mapping holds, or an object of a script's own that says its state; else None."""
    if isinstance(value, Mapping):
        return value
    own = not isinstance(value, (torch.nn.Module, type)) and hasattr(value, "load_state_dict")
    return getattr(value, "__dict__", None) if own else None


def _scaler_undo(scaler: Any) -> Iterator[_Undo]:
    """Copies on the device: its ``state_dict`` would wait for the accelerator."""
    kept = {
        name: one.clone()
        for name in ("_scale", "_growth_tracker")
        if isinstance(one := getattr(scaler, name, None), torch.Tensor)
    }
    if kept:
        yield lambda: scaler.__dict__.update(kept)


def _tensor_undo(value: torch.Tensor) -> Iterator[_Undo]:
    """A counter that a script keeps as a tensor; weights are too large, and looked after."""
    if value.numel() <= _SMALL_ITEMS and not value.requires_grad and not value.is_inference():
        yield partial(value.copy_, value.clone())


def _plain_undo(value: MutableMapping[Any, Any], *, whole: bool) -> Iterator[_Undo]:
    """The numbers and texts of a mapping and its lists of them; objects look after themselves."""
    kept = {k: copy.deepcopy(v) for k, v in value.items() if _is_plain(v, whole=whole)}
    known = set(value)

    def undo() -> None:
        for name in [n for n, v in value.items() if n not in known and _is_plain(v, whole=True)]:
            del value[name]  # it came after the mark
        value.update(kept)

    yield undo


def _is_plain(value: Any, *, whole: bool) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        few = whole or len(value) <= _SMALL_ITEMS
        return few and all(_is_plain(one, whole=whole) for one in value)
    return value is None or isinstance(value, (bool, int, float, str, bytes))


def _tensors(value: Any, *, gradients: bool, seen: set[int]) -> Iterator[torch.Tensor]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, torch.nn.Module):
        for parameter in value.parameters():
            yield parameter
            if gradients and parameter.grad is not None:
                yield parameter.grad
    elif isinstance(value, (list, tuple)):  # as averages keep their shadows
        for one in value:
            if isinstance(one, torch.Tensor):
                yield one
    elif (inside := _inside(value)) is not None and not isinstance(value, _KNOWN):
        for one in inside.values():
            yield from _tensors(one, gradients=gradients, seen=seen)

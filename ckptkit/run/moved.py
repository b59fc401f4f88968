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

from ckptkit.run.looks import LIVE, SMALL_ITEMS, Look, inside, is_counter, is_small

_Undo = Callable[[], object]
_ATOMS = (type(None), bool, int, float, str, bytes)
_CONTAINERS = (list, tuple, set, frozenset, dict)


class Moved:
    """Notes a state at a save point; tells later whether its weights are still those."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state
        self._undo: list[_Undo] = []
        self._look: Look | None = None

    def note(self, *, weights: bool, gradients: bool = False) -> None:
        """Note the state: its weights, and what is small. ``weights``: look closer, at every one.

        ``gradients``: some wait to be stepped with, and are part of the state.
        """
        self._undo = list(_undos(self._state, whole=weights, seen=set()))
        self._look = Look(self._state, whole=weights, gradients=gradients)

    @property
    def weights(self) -> bool:
        """Whether a weight, an average or a waiting gradient was written to since."""
        return self._look is not None and self._look.written()

    @property
    def buffers(self) -> list[str]:
        """The modules of which a stored buffer was written to since, for people."""
        return [] if self._look is None else self._look.moved_buffers()

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
    elif (found := inside(value)) is not None:
        if isinstance(found, MutableMapping) and (whole or is_small(found)):
            yield from _plain_undo(found, whole=whole)
        for one in found.values():
            yield from _undos(one, whole=whole, seen=seen)


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
    if is_counter(value):
        yield partial(value.copy_, value.clone())


def _plain_undo(value: MutableMapping[Any, Any], *, whole: bool) -> Iterator[_Undo]:
    """The data of a mapping as they were; what has an undo of its own is there again."""
    held = {k: v for k, v in value.items() if _is_held(v)}
    kept = {
        k: copy.deepcopy(v) for k, v in value.items() if k not in held and _is_plain(v, whole=whole)
    }
    known = set(value)

    def undo() -> None:
        new = {name: one for name, one in value.items() if name not in known}
        for name, one in new.items():  # they came after the mark
            if _is_plain(one, whole=True) or isinstance(one, (Mapping, torch.Tensor)):
                del value[name]
        value.update(kept)
        value.update(held)

    yield undo


def _is_held(value: Any) -> bool:
    """Whether it has an undo of its own. A script may have a new optimizer, and keeps it."""
    if isinstance(value, torch.Tensor):
        return is_counter(value)
    return inside(value) is not None and not isinstance(value, LIVE)


def _is_plain(value: Any, *, whole: bool) -> bool:
    """Whether it is data all through: numbers, texts, and containers of them; few, or ``whole``."""
    level, n_items = [value], 0
    seen: set[int] = set()
    while level:
        containers = [one for one in level if not isinstance(one, _ATOMS) and id(one) not in seen]
        seen.update(map(id, containers))
        if not all(isinstance(one, _CONTAINERS) for one in containers):
            return False
        n_items += sum(map(len, containers))
        if n_items > SMALL_ITEMS and not whole:
            return False
        inner = (one.values() if isinstance(one, dict) else one for one in containers)
        level = [item for items in inner for item in items]
    return True

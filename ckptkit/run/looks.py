"""A look at the weights of a state, by which a later one tells whether anybody has written to them.

torch counts the writes to a tensor, but not those through ``.data``, by which many averages are
put in the place of the weights for an evaluation: so some numbers are noted, too. A state of 600
tensors takes a third of a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from ckptkit.run.sections import modules_in

SMALL_ITEMS = 256
_TENSORS = 16  # in which numbers are noted at every step; an average differs in nearly all
_NUMBERS = 4  # of each
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
#: Live objects of torch that hold no weights of their own.
LIVE = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.amp.GradScaler)


class Look:
    """The weights, averages and buffers of a state as they are now."""

    def __init__(self, state: Mapping[str, Any], *, whole: bool, gradients: bool) -> None:
        """``whole``: note numbers of every tensor. ``gradients``: some wait, and count as well."""
        self._state, self._gradients = state, gradients
        weights, buffers = _tensors_in(state)
        self._weights = _counts([*weights, *(_gradients_of(weights) if gradients else ())])
        self._buffers = dict(_counts(buffers))
        trained = [one for one in weights if one.requires_grad] or weights
        self._weight_numbers = _numbers_of(weights if whole else _some(trained))
        self._buffer_numbers = _numbers_of(_some(buffers))

    def written(self) -> bool:
        """Whether a weight, an average or a waiting gradient was written to, or is another one."""
        weights, _ = _tensors_in(self._state)
        now = _counts([*weights, *(_gradients_of(weights) if self._gradients else ())])
        return now != self._weights or any(_differ(*pair) for pair in self._weight_numbers)

    def moved_buffers(self) -> list[str]:
        """The modules of which a buffer was written to, as a forward pass does: "norm (BatchNorm)".

        Buffers that are not stored count for nothing.
        """
        other = {id(one) for one, numbers in self._buffer_numbers if _differ(one, numbers)}
        return [
            f"{'.'.join(filter(None, (place, name)))} ({type(module).__name__})"
            for place, top in modules_in(self._state)
            for name, module in top.named_modules()
            if any(self._buffers.get(i) != n or i in other for i, n in _counts(_buffers_of(module)))
        ]


def inside(value: Any) -> Mapping[Any, Any] | None:
    """What a mapping holds, or an object of a script's own that says its state; else None."""
    if isinstance(value, Mapping):
        return value
    own = not isinstance(value, (nn.Module, type)) and hasattr(value, "load_state_dict")
    return getattr(value, "__dict__", None) if own else None


def is_small(found: Mapping[Any, Any]) -> bool:
    """Whether what it holds is put back, so that nobody need look whether it has moved."""
    return isinstance(found, MutableMapping) and len(found) <= SMALL_ITEMS


def is_counter(value: torch.Tensor) -> bool:
    """Whether it is no weight, but something small that a script keeps as a tensor."""
    small = not value.requires_grad and value.numel() <= SMALL_ITEMS
    return small and not value.is_inference()


def _counts(tensors: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    """Of each tensor who it is, and how often torch has seen a write to it."""
    return [(id(one), _count(one)) for one in tensors]


def _count(one: torch.Tensor) -> int:
    try:
        return one._version  # noqa: SLF001
    except RuntimeError:
        return 0  # an inference tensor: torch does not count


def _gradients_of(weights: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    for one in weights:
        if isinstance(one, nn.Parameter) and one.grad is not None:
            yield one.grad


# -- some numbers ---------------------------------------------------------------------------------


def _some(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return tensors[:: max(1, len(tensors) // _TENSORS)]


@torch.no_grad()
def _numbers_of(tensors: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Some numbers of each tensor, where it lies: an accelerator is not waited for."""
    pairs = [(one, _numbers(one)) for one in tensors]
    return [(one, numbers) for one, numbers in pairs if numbers is not None]


def _numbers(tensor: torch.Tensor) -> torch.Tensor | None:
    """A few numbers, evenly spaced in memory; None where none can be read."""
    if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.device.type == "meta":
        return None
    n_all = tensor.numel()
    n_some = min(n_all, _NUMBERS)
    with suppress(RuntimeError):  # no memory behind it, or a device that has failed
        return tensor.as_strided((n_some,), (max(1, n_all // _NUMBERS),)).clone()
    return None


@torch.no_grad()
def _differ(tensor: torch.Tensor, noted: torch.Tensor) -> bool:
    """Whether a tensor has other bits than were noted, wherever it lies by now.

    One that cannot be read does not: it cannot be saved either, which is told.
    """
    with suppress(RuntimeError):
        now = _numbers(tensor)
        return now is not None and not torch.equal(_bits(now), _bits(noted))
    return False


def _bits(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.cpu().view(torch.uint8)  # a NaN equals itself


# -- where they lie -------------------------------------------------------------------------------


def _tensors_in(state: Mapping[str, Any]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The weights and averages of a state, and its buffers."""
    weights: list[torch.Tensor | None] = []
    buffers: list[torch.Tensor] = []
    modules: list[nn.Module] = []
    _gather(state, weights, modules, set())
    seen = set(modules)
    for module in modules:  # it grows; their own generators take five times as long
        if module._modules:  # noqa: SLF001
            inner = module._modules.values()  # noqa: SLF001
            new = [one for one in inner if one is not None and one not in seen]
            seen.update(new)
            modules += new
        if module._parameters and not _keeps_norms(module):  # noqa: SLF001
            weights += module._parameters.values()  # noqa: SLF001
        if module._buffers:  # noqa: SLF001
            buffers += _buffers_of(module)
    return [one for one in weights if one is not None], buffers


def _keeps_norms(module: nn.Module) -> bool:
    """Whether it is an embedding that writes to its weights whenever it is looked up."""
    return isinstance(module, _EMBEDDINGS) and module.max_norm is not None


def _gather(
    value: Any, tensors: list[torch.Tensor | None], modules: list[nn.Module], seen: set[int]
) -> None:
    """Gather the tensors and modules of a state, at any depth; ``seen``: ids, for cycles."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        tensors.append(value)
    elif isinstance(value, nn.Module):
        modules.append(value)
    elif isinstance(value, (list, tuple)):  # as averages keep their shadows
        tensors.extend(one for one in value if isinstance(one, torch.Tensor))
    elif (found := inside(value)) is not None and not isinstance(value, LIVE):
        counts = is_small(found)
        for one in found.values():
            if not (counts and isinstance(one, torch.Tensor) and is_counter(one)):
                _gather(one, tensors, modules, seen)


def _buffers_of(module: nn.Module) -> list[torch.Tensor]:
    """Its own buffers that are stored."""
    left_out = getattr(module, "_non_persistent_buffers_set", ())
    buffers = module._buffers.items()  # noqa: SLF001
    return [one for name, one in buffers if one is not None and name not in left_out]

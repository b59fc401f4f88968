"""What a live module wants: the names of its state_dict, each with its own memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ckptkit.torch_bridge.module_state import live_state

_STRANGE_LAYOUT = "its tensors are sparse, quantized or of a class of their own"
_NOT_ITS_OWN = "its state_dict gives tensors that are not the memory of the module"


#: One name of a state_dict, in the order of ``match.values.Entry``: name, dtype, shape, kind, tie.
Wanted = tuple[str, str, tuple[int, ...], str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedState:
    """A module's state_dict as it is now.

    ``tensors`` are those that can be filled where they lie, by name. ``odd`` are names that
    cannot, with the reason: their module has to be asked. ``entries`` are all names but those of
    lazy parameters, which have no shape yet. ``hidden`` are buffers that are not saved.
    """

    entries: tuple[Wanted, ...]
    tensors: dict[str, torch.Tensor]
    odd: dict[str, str]
    hidden: dict[str, torch.Tensor]


def describe_module(module: torch.nn.Module) -> WantedState:
    """Return what ``module.state_dict()`` names, found in the module's own memory."""
    own, hidden = _own_tensors(module)
    state = live_state(module)
    tensors: dict[str, torch.Tensor] = {}
    odd: dict[str, str] = {}
    rows: list[_Row] = []
    value: Any
    for name, value in state.items():
        mine = own.get(name)
        if mine is not None and value is mine and _is_ordinary(mine):
            tensors[name] = mine
            rows.append((name, mine, mine.data_ptr() if mine.is_cpu else 0))
            continue
        if not isinstance(value, torch.Tensor):
            odd[name] = "it has an extra state"
        elif torch.nn.parameter.is_lazy(value):
            odd[name] = "it is lazy, and has no shape yet"
            continue
        elif mine is None or not _same_memory(mine, value):
            odd[name] = _NOT_ITS_OWN
        elif not _is_fillable(mine):
            odd[name] = _STRANGE_LAYOUT
        else:
            tensors[name] = mine
        rows.append((name, tensors.get(name, value), 0))
    return WantedState(entries=tuple(_entries(rows)), tensors=tensors, odd=odd, hidden=hidden)


_Row = tuple[str, Any, int]  # a name, what it is, and its address where that was asked already
_PLAIN_TYPES = frozenset({torch.Tensor, torch.nn.Parameter})


def _own_tensors(
    module: torch.nn.Module,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the tensors that are saved as a rule, and the buffers that are not."""
    own: dict[str, torch.Tensor] = {}
    hidden: dict[str, torch.Tensor] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for name, parameter in part._parameters.items():  # noqa: SLF001 - a property would cost
            if parameter is not None:
                own[prefix + name] = parameter
        unsaved = part._non_persistent_buffers_set  # noqa: SLF001
        for name, buffer in part._buffers.items():  # noqa: SLF001
            if buffer is not None:
                (hidden if name in unsaved else own)[prefix + name] = buffer
    return own, hidden


def _is_ordinary(tensor: torch.Tensor) -> bool:
    return type(tensor) in _PLAIN_TYPES and _is_plain(tensor)


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_quantized


def _is_fillable(tensor: torch.Tensor) -> bool:
    """Say whether the tensor is ordinary memory, of an ordinary class or a harmless subclass."""
    return _is_plain(tensor) and not _is_wrapper(tensor)


def _is_wrapper(tensor: Any) -> bool:
    """Say whether the tensor only stands for others (a DTensor): it has no memory of its own."""
    return type(tensor) not in _PLAIN_TYPES and bool(is_traceable_wrapper_subclass(tensor))


def _same_memory(mine: torch.Tensor, shown: torch.Tensor) -> bool:
    if mine is shown:
        return True
    if mine.layout is not torch.strided or shown.layout is not torch.strided or mine.is_meta:
        return False
    return (
        mine.data_ptr() == shown.data_ptr()
        and mine.shape == shown.shape
        and mine.stride() == shown.stride()
        and mine.dtype == shown.dtype
    )


def _entries(rows: list[_Row]) -> Iterator[Wanted]:
    ties = _tie_numbers(rows)
    words: dict[torch.dtype, str] = {}
    for (name, value, _), tie in zip(rows, ties, strict=True):
        if not isinstance(value, torch.Tensor):
            yield name, "", (), "value", -1
            continue
        dtype = words.get(value.dtype)
        if dtype is None:
            dtype = words[value.dtype] = str(value.dtype).removeprefix("torch.")
        kind = "parameter" if isinstance(value, torch.nn.Parameter) else "buffer"
        yield name, dtype, tuple(value.shape), kind, tie


def _tie_numbers(rows: list[_Row]) -> list[int]:
    """Number the groups of values that are one memory seen in one way; -1 for all others."""
    numbers = [-1] * len(rows)
    values = [value for _, value, _ in rows]
    places = [address or _memory_of(value) for _, value, address in rows]
    if len(set(places)) == len(places):
        return numbers
    groups: dict[object, list[int]] = {}
    for index, place in enumerate(places):
        if place is not None:
            groups.setdefault(place, []).append(index)
    tied = [group for group in groups.values() if len(group) > 1]
    for number, group in enumerate(_split(tied, values)):
        for index in group:
            numbers[index] = number
    return numbers


def _memory_of(tensor: Any) -> object:
    """Return the address, or the object itself where there is none (meta, sparse, empty)."""
    if not isinstance(tensor, torch.Tensor):
        return None
    if tensor.is_meta or tensor.layout is not torch.strided or _is_wrapper(tensor):
        return "object", id(tensor)
    address = tensor.data_ptr()
    if not address:
        return "object", id(tensor)
    return address if tensor.is_cpu else (tensor.device, address)


def _split(groups: list[list[int]], values: list[Any]) -> Iterator[list[int]]:
    """Keep together what has one address and one shape, strides and dtype as well."""
    for group in groups:
        views: dict[object, list[int]] = {}
        for index in group:
            value = values[index]
            strides = value.stride() if value.layout is torch.strided else ()
            views.setdefault((value.shape, strides, value.dtype), []).append(index)
        yield from (view for view in views.values() if len(view) > 1)

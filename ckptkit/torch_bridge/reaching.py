"""Whether a deep copy of a value would go on working on what the original works on."""

from __future__ import annotations

import enum
import functools
import re
import types
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

_MAX_DEPTH = 6
_MAX_LOOKED_AT = 20_000
_INERT = (
    str, bytes, int, float, complex, bool, type(None), type(Ellipsis), range, slice, enum.Enum,
    re.Pattern, type, types.ModuleType, types.BuiltinFunctionType, torch.dtype, torch.device,
    torch.Size, RemovableHandle,  # a handle is led to the copied hooks
)  # fmt: skip
_LIVE = (torch.nn.Module, torch.Tensor)


class _InDoubtError(Exception):
    """Something that a copy would share is, or may be, what must not be changed."""


def reaches_the_original(values: Iterable[Any]) -> bool:
    """Say whether copies of ``values`` may change what the originals hold.

    ``deepcopy`` copies containers, partials, bound methods and objects, and everything in them;
    it shares functions, with all that they close over, and weak references. What is shared must
    be unable to change; whatever is not understood counts as able to.
    """
    budget = iter(range(_MAX_LOOKED_AT))
    try:
        for value in values:
            _look(value, budget, _MAX_DEPTH)
    except _InDoubtError:
        return True
    return False


def _look(value: Any, budget: Iterator[int], depth: int) -> None:
    """Look through what is copied, for something that is not."""
    if isinstance(value, (*_INERT, *_LIVE)):
        return
    if depth < 0 or next(budget, None) is None:
        raise _InDoubtError
    if isinstance(value, weakref.ReferenceType):
        raise _InDoubtError
    if isinstance(value, types.FunctionType):
        _look_at_function(value, budget, depth)
        return
    for inner in _inside(value):
        _look(inner, budget, depth - 1)


def _look_at_function(function: types.FunctionType, budget: Iterator[int], depth: int) -> None:
    if depth < 0 or next(budget, None) is None:
        raise _InDoubtError
    for held in _closed_over(function):
        _look_at_shared(held, budget, depth - 1)
    names = function.__globals__
    for name in function.__code__.co_names:
        if _is_live(names.get(name)):
            raise _InDoubtError


def _look_at_shared(value: Any, budget: Iterator[int], depth: int) -> None:
    """Take only what cannot change, and functions that hold nothing else."""
    if isinstance(value, _INERT):
        return
    if isinstance(value, types.FunctionType):
        _look_at_function(value, budget, depth)
        return
    if isinstance(value, (tuple, frozenset)) and depth >= 0:
        for inner in value:
            _look_at_shared(inner, budget, depth - 1)
        return
    raise _InDoubtError


def _closed_over(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # nothing was put into it yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from vars(function).values()


def _is_live(value: Any) -> bool:
    """Tell of a global whether it is, or directly holds, a module or a tensor."""
    if isinstance(value, _LIVE):
        return True
    if isinstance(value, (weakref.ReferenceType, functools.partial, types.MethodType)):
        return True
    inside = value.values() if isinstance(value, dict) else value
    if isinstance(inside, (list, tuple, set, frozenset)) or isinstance(value, dict):
        return any(isinstance(one, (*_LIVE, weakref.ReferenceType)) for one in inside)
    return any(isinstance(one, _LIVE) for one in _attributes(value))


def _inside(value: Any) -> Collection[Any]:
    if isinstance(value, types.MethodType):
        return (value.__func__, value.__self__)
    if isinstance(value, functools.partial):
        return (value.func, *value.args, *value.keywords.values())
    if isinstance(value, Mapping):
        return (*value.keys(), *value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple(value)
    return _attributes(value)


def _attributes(value: Any) -> tuple[Any, ...]:
    """What an object has in its ``__dict__`` and its slots; a class or a module has its own."""
    if isinstance(value, _INERT):
        return ()
    slots = [n for kind in type(value).__mro__ for n in _names(vars(kind).get("__slots__", ()))]
    held = [getattr(value, name, None) for name in slots if not name.startswith("__")]
    return (*getattr(value, "__dict__", {}).values(), *held)


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)

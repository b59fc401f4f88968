"""Live objects of classes that are data but not ours: what a Record keeps of them.

Source: docs/format.md section "Records".
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from typing import Any, NamedTuple

from ckptkit.nodes import GlobalName

_PLAIN = (int, float, complex, str, bytes)


class Sketch(NamedTuple):
    """The parts of a Record as live values, in the words that a pickle of it would use."""

    name: GlobalName
    how: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    state: Any = None
    items: list[Any] | None = None
    entries: dict[Any, Any] | None = None


def sketch(value: Any) -> Sketch | None:
    """Take the parts of ``value`` out; None for an object that is no plain data.

    Taken are enum members, named tuples, dataclass instances, namespaces, and instances of
    subclasses of Python's own containers, numbers and text.
    """
    kind = type(value)
    name = GlobalName(kind.__module__, kind.__qualname__)
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        return Sketch(name, "call", (value.value,))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return Sketch(name, "new", kwargs=dict(zip(kind._fields, value, strict=True)))
    state = dict(vars(value)) or None if hasattr(value, "__dict__") else None
    if isinstance(value, dict):
        how = "call" if isinstance(value, OrderedDict) else "new"
        base = OrderedDict if isinstance(value, OrderedDict) else dict  # whose order is the order
        return Sketch(name, how, state=state, entries=dict(base.items(value)))
    if isinstance(value, list):
        return Sketch(name, "new", state=state, items=list(value))
    if isinstance(value, deque):
        return Sketch(name, "call", ((), value.maxlen), state=state, items=list(value))
    if isinstance(value, (set, frozenset)):
        return Sketch(name, "call", (list(value),), state=state)
    return _sketch_plain(value, name, state)


def _sketch_plain(value: Any, name: GlobalName, state: Any) -> Sketch | None:
    """Take subclasses of numbers and text, tuples, dataclasses and namespaces."""
    if isinstance(value, tuple):
        return Sketch(name, "new", (tuple(value),), state=state)
    for base in _PLAIN:
        if isinstance(value, base):
            return Sketch(name, "new", (_plain(base, value),), state=state)
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        slots = {field: getattr(value, field) for field in fields if hasattr(value, field)}
        return Sketch(name, "new", state={**slots, **(state or {})})
    if name.text == "argparse.Namespace":
        return Sketch(name, "new", state=state or {})
    if name.text == "types.SimpleNamespace":
        return Sketch(name, "call", state=state or {})
    return None


def _plain(base: Any, value: Any) -> Any:
    """Return the value without its class, whatever the class does to its own conversion."""
    if base is str:
        return str.__str__(value)
    if base is bytes:
        return bytes.__getitem__(value, slice(None))
    return complex(value.real, value.imag) if base is complex else base.__pos__(value)

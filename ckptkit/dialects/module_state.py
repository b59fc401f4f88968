"""The state_dict of a pickled ``nn.Module``, taken from its record without its class."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.dialects.looks import is_module, is_tensor
from ckptkit.nodes import MapNode, Node, Path, Record, SeqNode

#: No honest model comes near either; a hostile one must not make names of quadratic length.
MAX_LEVELS = 200
MAX_MODULES = 100_000


class ModuleTensor(NamedTuple):
    """One parameter or buffer: its state_dict name and where it lies below the record."""

    name: str
    path: Path
    node: Node


class ModuleState(NamedTuple):
    """What ``module.state_dict()`` would have given. ``whole`` is False where we gave up."""

    tensors: tuple[ModuleTensor, ...]
    non_persistent: tuple[str, ...]
    whole: bool


def collect_state(module: Record) -> ModuleState:
    """Walk the submodules as ``state_dict()`` would, depth first, in order.

    A module that stands in two places gives two names, as torch does. Buffers that the module
    itself does not save are named in ``non_persistent``.
    """
    tensors: list[ModuleTensor] = []
    hidden: list[str] = []
    whole, n_modules = True, 0
    stack: list[tuple[Record, str, Path, int]] = [(module, "", (), 0)]
    while stack:
        record, prefix, path, level = stack.pop()
        n_modules += 1
        if level > MAX_LEVELS or n_modules > MAX_MODULES:
            whole = False
            continue
        found, inner = _own_parts(record, prefix, path, hidden)
        tensors += found
        stack.extend((sub, name, place, level + 1) for sub, name, place in reversed(inner))
    return ModuleState(tuple(tensors), tuple(hidden), whole)


_Inner = list[tuple[Record, str, Path]]


def _own_parts(
    record: Record, prefix: str, path: Path, hidden: list[str]
) -> tuple[list[ModuleTensor], _Inner]:
    """The tensors of one module itself, and its direct submodules with their prefixes."""
    if not record.states or not isinstance(record.state, MapNode):
        return [], []
    here = (*path, ".state")
    if is_module(record):
        return _drawers(record.state, prefix, here, hidden)
    return [], []


def _drawers(
    state: MapNode, prefix: str, here: Path, hidden: list[str]
) -> tuple[list[ModuleTensor], _Inner]:
    skipped = state.get("_non_persistent_buffers_set")
    unsaved = (
        {n for n in skipped.items if isinstance(n, str)} if isinstance(skipped, SeqNode) else set()
    )
    found = []
    for drawer in ("_parameters", "_buffers"):
        contents = state.get(drawer)
        for name, value in contents.items() if isinstance(contents, MapNode) else ():
            if not isinstance(name, str) or not is_tensor(value):
                continue
            if drawer == "_buffers" and name in unsaved:
                hidden.append(prefix + name)
            else:
                found.append(ModuleTensor(prefix + name, (*here, drawer, name), value))
    modules = state.get("_modules")
    inner = [
        (sub, f"{prefix}{name}.", (*here, "_modules", name))
        for name, sub in (modules.items() if isinstance(modules, MapNode) else ())
        if isinstance(name, str) and isinstance(sub, Record)
    ]
    return found, inner

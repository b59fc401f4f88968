"""Which parameter has which name: what lets an optimizer's state follow the model by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from ckptkit.torch_bridge.kinds import kind_of
from ckptkit.torch_bridge.module_state import live_state

Shape = tuple[int, ...]


class ParameterName(NamedTuple):
    """Where a parameter is named: its module's place in the state, its key there, its shape.

    ``section`` is the path to the module, joined by "/" ("model", "models/generator"); it is ""
    where only the optimizer itself knew the name, and so is ``name`` where nobody does.
    """

    section: str
    name: str
    shape: Shape


class ParameterNames:
    """The names of live parameters, found by identity. Holds on to the parameters it names."""

    def __init__(self) -> None:
        self._names: dict[int, ParameterName] = {}
        self._alive: list[torch.Tensor] = []  # an id is only good while its object lives

    def __len__(self) -> int:
        return len(self._names)

    def add(self, parameter: torch.Tensor, section: str, name: str) -> None:
        """Name a parameter, unless it has a name already: the first of tied names counts."""
        if id(parameter) not in self._names:
            self._alive.append(parameter)
            self._names[id(parameter)] = ParameterName(section, name, shape_of(parameter))

    def of(self, parameter: torch.Tensor) -> ParameterName:
        """Return its name; one with empty words where no module of the state has it."""
        found = self._names.get(id(parameter))
        return ParameterName("", "", shape_of(parameter)) if found is None else found

    def __iter__(self) -> Iterator[ParameterName]:
        return iter(self._names.values())

    def in_section(self, section: str, *, trainable_only: bool = False) -> dict[str, Shape]:
        """Names and shapes of the parameters of one module, in the order of its state_dict."""
        return {
            name.name: name.shape
            for parameter, name in zip(self._alive, self._names.values(), strict=True)
            if name.section == section and (parameter.requires_grad or not trainable_only)
        }


def parameter_names(state: Mapping[str, object]) -> ParameterNames:
    """Collect the names of all parameters of all modules in ``state``, however deep in mappings.

    Names are the keys of the module's own state_dict. Averages name nothing: nobody trains them.
    """
    names = ParameterNames()
    for path, value in live_objects(state):
        if kind_of(value) == "module":
            section = "/".join(map(str, path))
            for key, parameter in live_state(value).items():  # type: ignore[arg-type]
                if isinstance(parameter, torch.nn.Parameter):
                    names.add(parameter, section, key)
    return names


def parameters_entry(
    optimizer: torch.optim.Optimizer, names: ParameterNames
) -> dict[str, list[Any]]:
    """Return what a saved optimizer says of its parameters, under its key ``parameters``.

    One item a parameter, in the order of the numbers in ``param_groups``; "" where unknown.
    Source: docs/format.md section "Sections (v2)".
    """
    found = optimizer_parameters(optimizer, names)
    return {
        "sections": [parameter.section for parameter in found],
        "names": [parameter.name for parameter in found],
        "shapes": [parameter.shape for parameter in found],
    }


def optimizer_parameters(
    optimizer: torch.optim.Optimizer, names: ParameterNames
) -> list[ParameterName]:
    """Name every parameter of an optimizer, in the order of the numbers that its state_dict gives.

    A parameter that no module of the state has keeps the name that it was given to the optimizer
    with (``param_names`` of its group), if any.
    """
    found: list[ParameterName] = []
    for group in optimizer.param_groups:
        told = group.get("param_names") or [""] * len(group["params"])
        for parameter, own in zip(group["params"], told, strict=True):
            name = names.of(parameter)
            found.append(name if name.name or not isinstance(own, str) else name._replace(name=own))
    return found


def shape_of(tensor: torch.Tensor) -> Shape:
    """Return the shape as plain integers; () for a parameter of a lazy module that has none yet."""
    if torch.nn.parameter.is_lazy(tensor):
        return ()
    return tuple(tensor.shape)


def live_objects(state: Mapping[Any, Any]) -> Iterator[tuple[tuple[Any, ...], object]]:
    """Yield every object with a state_dict inside nested mappings, with its path, in order."""
    seen: set[int] = {id(state)}
    stack: list[Iterator[tuple[tuple[Any, ...], Any]]] = [_children((), state)]
    while stack:
        for path, value in stack[-1]:
            if isinstance(value, Mapping) and not callable(getattr(value, "state_dict", None)):
                if id(value) not in seen:  # a mapping inside itself ends here
                    seen.add(id(value))
                    stack.append(_children(path, value))
                    break
            elif kind_of(value) != "tree":
                yield path, value
        else:
            stack.pop()


def _children(
    path: tuple[Any, ...], mapping: Mapping[Any, Any]
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    return iter([((*path, key), value) for key, value in mapping.items()])

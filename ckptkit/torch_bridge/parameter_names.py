"""Which parameter has which name: what lets an optimizer's state follow the model by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch

from ckptkit.torch_bridge.kinds import kind_of
from ckptkit.torch_bridge.module_state import live_state

Shape = tuple[int, ...]
LiveObject = tuple[tuple[Any, ...], Any]  # its path in the state, and the object
_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter, int, float, bool, str, bytes, type(None)})


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
    return names_of(live_objects(state))


def names_of(found: Iterable[LiveObject]) -> ParameterNames:
    """Collect the names of the parameters of all modules among these objects."""
    names = ParameterNames()
    for path, value in found:
        section = "/".join(map(str, path))
        for key, parameter in live_parameters_of(value):
            names.add(parameter, section, key)
    return names


def live_parameters_of(value: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """Return every name in a module's state_dict with its parameter, ties too; [] for the rest."""
    if kind_of(value) != "module":
        return []
    return [
        (key, parameter)
        for key, parameter in live_state(value).items()
        if isinstance(parameter, torch.nn.Parameter)
    ]


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


def live_objects(state: Mapping[Any, Any]) -> Iterator[LiveObject]:
    """Yield every object with a state_dict inside nested mappings, with its path, in order."""
    inside: list[int] = [id(state)]  # a mapping inside itself holds no more than it holds already
    stack: list[Iterator[LiveObject]] = [_children((), state)]
    while stack:
        for path, value in stack[-1]:
            if callable(getattr(value, "state_dict", None)):
                yield path, value
            elif isinstance(value, dict) and id(value) not in inside:
                inside.append(id(value))
                stack.append(_children(path, value))
                break
        else:
            stack.pop()
            inside.pop()


def _children(path: tuple[Any, ...], mapping: Mapping[Any, Any]) -> Iterator[LiveObject]:
    return iter(
        [((*path, key), value) for key, value in mapping.items() if type(value) not in _PLAIN]
    )

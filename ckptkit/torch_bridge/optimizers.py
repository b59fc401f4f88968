"""Live optimizers: their parameters and settings, room for their state, and its handing over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ckptkit.nodes import MapNode, Node, TensorNode
from ckptkit.torch_bridge.parameter_names import ParameterName, ParameterNames, optimizer_parameters
from ckptkit.torch_bridge.revive import revive
from ckptkit.torch_bridge.revived_memory import torch_dtype
from ckptkit.torch_bridge.values import Fill
from ckptkit.tree import to_python

State = dict[int, dict[Any, Any]]  # by the number of the live parameter
_MEMBERS = ("params", "param_names")


class Given(NamedTuple):
    """What one live parameter gets: the stored state, and its place in the checkpoint."""

    number: int
    node: MapNode
    where: str


def live_parameters(
    optimizer: torch.optim.Optimizer, names: ParameterNames
) -> list[tuple[int, ParameterName, int]]:
    """Group, name and size in bytes of every parameter, in the order of the groups."""
    groups = [(i, p) for i, group in enumerate(optimizer.param_groups) for p in group["params"]]
    told = optimizer_parameters(optimizer, names)
    return [
        (group, name, _nbytes(parameter))
        for (group, parameter), name in zip(groups, told, strict=True)
    ]


def _nbytes(parameter: torch.Tensor) -> int:
    lazy = torch.nn.parameter.is_lazy(parameter)
    return 0 if lazy else parameter.numel() * parameter.element_size()


def keeps_flat_state(optimizer: torch.optim.Optimizer) -> bool:
    """Say whether its state is one vector over all parameters, so that their order is in it."""
    return isinstance(optimizer, torch.optim.LBFGS)


def group_settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return the live settings of every group, without its members."""
    return [
        {key: value for key, value in group.items() if key not in _MEMBERS}
        for group in optimizer.param_groups
    ]


def plain(value: Any) -> Any:
    """Return a value that can be compared and printed: a number for a tensor of one element."""
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else tuple(value.flatten().tolist())
    return tuple(plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def in_form_of(live: Any, stored: Any) -> Any:
    """Return a stored setting as the live one is kept: in a tensor, as a number, as a tuple."""
    if isinstance(live, torch.Tensor) and isinstance(stored, (int, float)):
        return torch.full_like(live, stored)
    if isinstance(live, torch.Tensor) and isinstance(stored, torch.Tensor):
        return stored.to(dtype=live.dtype, device=live.device)
    if isinstance(stored, torch.Tensor) and isinstance(live, (int, float)):
        return stored.item()
    if isinstance(live, tuple) and isinstance(stored, list):
        return tuple(stored)
    return stored


def make_state(
    optimizer: torch.optim.Optimizer,
    groups: Sequence[Mapping[str, Any]],
    given: Sequence[Given],
    device: Any = None,
) -> tuple[State, list[Fill]]:
    """Make room for the state of each parameter, in its stored dtype, and name what fills it.

    Live state of the same shape, dtype and device is filled where it lies. The optimizer itself
    stays as it is. ``device`` is where the state of meta parameters goes.
    """
    members = list(_members(optimizer))
    state: State = {}
    fills: list[Fill] = []
    taken: set[int] = set()
    for number, node, where in given:
        group, parameter = members[number]
        room = _Room(parameter, groups[group], optimizer.state.get(parameter, {}), device)
        keys = {id(value): key for key, value in node.items()}

        def tensor(
            stored: TensorNode, room: _Room = room, keys: Mapping[int, Any] = keys,
            where: str = where,
        ) -> Any:  # fmt: skip
            if not _is_plain(stored):
                return revive(stored)
            key = keys.get(id(stored))
            made = room.of(key, stored, taken)
            fills.append(Fill(made, stored, where if key is None else f"{where}/{key}"))
            return made

        state[number] = to_python(node, tensor=tensor, record=revive)
    return state, fills


def _members(optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, torch.Tensor]]:
    for index, group in enumerate(optimizer.param_groups):
        yield from ((index, parameter) for parameter in group["params"])


def _is_plain(node: TensorNode) -> bool:
    """Say whether bytes alone make this tensor."""
    odd = node.flavour in ("ndarray", "meta") or node.numpy_dtype
    return not odd and node.dtype.kind not in "qx"


class _Room:
    """Where the state of one parameter lies."""

    def __init__(
        self,
        parameter: torch.Tensor,
        group: Mapping[str, Any],
        live: Mapping[Any, Any],
        device: Any,
    ) -> None:
        self.parameter, self.live = parameter, live
        self.on_device = bool(group.get("capturable") or group.get("fused"))
        self.device = parameter.device
        if parameter.is_meta:
            self.device = torch.device("cpu" if device is None else device)

    def of(self, key: Any, node: TensorNode, taken: set[int]) -> torch.Tensor:
        """Return the live tensor of this key where it fits and is nobody's yet, or a new one."""
        device, dtype = self.device, torch_dtype(node)
        if key == "step":  # as torch does: float32 on the device for kernels that read it there
            dtype = torch.float32 if self.on_device else dtype
            if not self.on_device and node.storage.device == "cpu":
                device = torch.device("cpu")
        found = self.live.get(key)
        if (
            isinstance(found, torch.Tensor)
            and id(found) not in taken
            and _fits(found, node, dtype, device)
        ):
            taken.add(id(found))
            return found
        if node.shape == tuple(self.parameter.shape) and node.shape:
            return torch.empty_like(
                self.parameter, dtype=dtype, device=device, requires_grad=False
            ).detach()
        return torch.empty(node.shape, dtype=dtype, device=device)


def _fits(found: torch.Tensor, node: TensorNode, dtype: torch.dtype, device: Any) -> bool:
    return (
        tuple(found.shape) == node.shape
        and found.dtype == dtype
        and found.device == device
        and found.layout == torch.strided
        and type(found) is torch.Tensor
        and not found.requires_grad
        and 0 not in found.stride()  # an expanded tensor would be written over itself
    )


def hand_over(
    optimizer: torch.optim.Optimizer,
    state: State,
    groups: Sequence[Mapping[str, Any]],
    other: Mapping[Any, Node],
    loose: Mapping[Any, Node],
) -> None:
    """Give everything to the optimizer's own load_state_dict, then undo what it cast.

    torch casts state to the dtype of its parameter; the stored dtype is put back. A class or a
    hook of its own sees the real tensors; torch's own code gets empty ones for those that it
    would only copy in vain.
    """
    whole = {number: dict(own) for number, own in state.items()}
    members = [parameter for _, parameter in _members(optimizer)]
    standard = _is_standard(optimizer)
    if standard:
        for number, own in whole.items():
            for key, value in own.items():
                if _would_cast(members[number], key, value):
                    own[key] = torch.empty(0, dtype=members[number].dtype)
    listed = _with_members(optimizer, groups)
    if not standard:
        listed = [{**group, "params": list(group["params"])} for group in listed]
    extra = {key: revive(node) for key, node in loose.items()}
    rest = {key: revive(node) for key, node in other.items()}
    optimizer.load_state_dict({**rest, "state": {**extra, **whole}, "param_groups": listed})
    for number, own in state.items():
        live = optimizer.state.get(members[number], {})
        for key, value in own.items():
            if key in live and _was_cast(members[number], key, value, live[key], standard):
                live[key] = value


def _with_members(
    optimizer: torch.optim.Optimizer, groups: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Add the numbers of the members, as ranges: torch looks every one up for each tensor."""
    listed, start = [], 0
    for settings, group in zip(groups, optimizer.param_groups, strict=True):
        stop = start + len(group["params"])
        listed.append({**settings, "params": range(start, stop)})
        start = stop
    return listed


def _is_standard(optimizer: torch.optim.Optimizer) -> bool:
    hooks = (
        *getattr(optimizer, "_optimizer_load_state_dict_pre_hooks", ()),
        *getattr(optimizer, "_optimizer_load_state_dict_post_hooks", ()),
    )
    own = type(optimizer).load_state_dict is not torch.optim.Optimizer.load_state_dict
    return not hooks and not own


def _would_cast(parameter: torch.Tensor, key: Any, value: Any) -> bool:
    """Say whether torch would change the dtype of this value, or of a tensor inside it."""
    if isinstance(value, (list, tuple)):
        return any(_would_cast(parameter, None, item) for item in value)
    if not isinstance(value, torch.Tensor) or key == "step":
        return False
    return parameter.is_floating_point() and value.dtype != parameter.dtype


def _was_cast(parameter: torch.Tensor, key: Any, value: Any, found: Any, standard: bool) -> bool:
    """Say whether ``found`` is the cast ``value``; what a class of its own made of it stays."""
    if not _would_cast(parameter, key, value) or standard or not isinstance(value, torch.Tensor):
        return _would_cast(parameter, key, value) and standard
    same = isinstance(found, torch.Tensor) and found.shape == value.shape
    return same and found.dtype == parameter.dtype

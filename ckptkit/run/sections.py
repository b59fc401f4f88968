"""What a run adds to a script's own state, and takes out of a checkpoint again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ckptkit.errors import UnrepresentableError
from ckptkit.nodes import MapNode
from ckptkit.run.counting import optimizers_in
from ckptkit.run.mark import Mark, mark_from
from ckptkit.run.rng import as_tree, from_tree
from ckptkit.torch_bridge.revive import revive
from ckptkit.verbs.open import Checkpoint

#: Sections that the run itself writes; a script's own state goes under other names.
OWN = ("rng", "data", "progress", "metrics", "history", "config", "trackers", "gradients", "probe")


def check_names(state: Mapping[str, Any]) -> None:
    """Refuse a script's state under a name that the run needs. Raises: UnrepresentableError."""
    taken = [name for name in state if name in OWN]
    if taken:
        raise UnrepresentableError(
            "Run", f"the state has {', '.join(taken)}, which the run itself writes",
            "other names for the script's own state", "rename them",
        )  # fmt: skip


def mark_sections(mark: Mark, streams: list[Any]) -> dict[str, Any]:
    """The sections that say where the run stands; ``streams`` as ``stored_streams``, by rank.

    Of a rank whose streams nobody knows (None) there is an empty mapping.
    """
    sections: dict[str, Any] = {"data": mark.data(), "progress": mark.progress()}
    if any(one is not None for one in streams):
        known = [{} if one is None else one for one in streams]
        sections["rng"] = known[0] if len(known) == 1 else {"ranks": known}
    return sections


def stored_streams(mark: Mark) -> dict[str, Any] | None:
    """The random streams of this process as data."""
    return None if mark.rng is None else as_tree(mark.rng)


def read_mark(checkpoint: Checkpoint, rank: int = 0) -> Mark:
    """Say where a checkpoint of any dialect stands, with the streams of one rank.

    One that has no streams, or none of this rank, gives a mark without.
    """
    progress, data = (_mapping(checkpoint, name) for name in ("progress", "data"))
    if progress.get("optimizer_steps") is None:  # many old scripts count epochs alone
        progress = {**progress, "optimizer_steps": _steps_of_the_optimizer(checkpoint)}
    rng = _mapping(checkpoint, "rng")
    if "ranks" in rng:
        rng = rng["ranks"][rank] if rank < len(rng["ranks"]) else {}
    elif rank:
        rng = {}
    ours = "python" in rng and "torch" in rng
    return mark_from(progress, data, from_tree(rng) if ours else None)


def ranks_without_streams(checkpoint: Checkpoint, world: int) -> tuple[int, ...]:
    """Of so many processes those whose streams a checkpoint does not hold."""
    rng = _mapping(checkpoint, "rng")
    known = rng.get("ranks", [rng])
    return tuple(rank for rank in range(world) if rank >= len(known) or not known[rank])


def _steps_of_the_optimizer(checkpoint: Checkpoint) -> int:
    """The steps that it has counted for its parameters, as Adam does; 0 where it counts none."""
    optimizer = checkpoint.document.get("optimizer")
    states = optimizer.get("state") if isinstance(optimizer, MapNode) else None
    if not isinstance(states, MapNode):
        return 0
    found = [revive(one["step"]) for one in states.values()
             if isinstance(one, MapNode) and "step" in one]  # fmt: skip
    numbers = [one.item() if isinstance(one, torch.Tensor) and one.numel() == 1 else one
               for one in found]  # fmt: skip
    return int(max((n for n in numbers if isinstance(n, (int, float)) and n >= 0), default=0))


def read_section(checkpoint: Checkpoint, name: str) -> Any:
    """Return a section as live values; None if there is none."""
    return checkpoint.state(name) if name in checkpoint.document else None


def _mapping(checkpoint: Checkpoint, name: str) -> Mapping[str, Any]:
    value = read_section(checkpoint, name)
    return value if isinstance(value, Mapping) else {}


# -- gradients that wait --------------------------------------------------------------------------


def waiting_gradients(state: Mapping[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """The gradients of every module that were not stepped with yet, by parameter name."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for place, module in modules_in(state):
        grads = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
        if grads:
            found[place] = grads
    return found


def clear_gradients(state: Mapping[str, Any]) -> None:
    """Let no gradient wait: live objects may have some of a step that an error has cut off."""
    for _, module in modules_in(state):
        module.zero_grad()
    for optimizer in optimizers_in(state):
        optimizer.zero_grad()


def put_gradients(state: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Let stored gradients wait again; return the names that are no parameter here."""
    unknown = []
    for place, module in modules_in(state):
        parameters = dict(module.named_parameters())
        for name, grad in stored.get(place, {}).items():
            parameter = parameters.get(name)
            if parameter is None or parameter.shape != grad.shape:
                unknown.append(f"{place}/{name}")
            else:
                parameter.grad = grad.to(parameter.device)
    return unknown


def modules_in(state: Any, place: str = "") -> Iterator[tuple[str, torch.nn.Module]]:
    """Every module of a script's state at any depth of its mappings, with its place."""
    if isinstance(state, torch.nn.Module):
        yield place, state
    elif isinstance(state, Mapping):
        for name, value in state.items():
            yield from modules_in(value, f"{place}/{name}" if place else str(name))

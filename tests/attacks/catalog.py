"""The list of all cases. Hostile ones need the standard library and numpy-free bytes; honest ones torch."""

from __future__ import annotations

from collections.abc import Iterator

from tests.attacks import (
    attack_arguments,
    attack_bombs,
    attack_folder,
    attack_gadgets,
    attack_names,
    attack_polyglot,
    attack_routes,
    attack_safetensors,
    attack_streams,
    attack_surroundings,
    attack_tar,
    attack_tensors,
    attack_v2,
    attack_zip,
)
from tests.attacks.case import Case

ATTACKS = (
    attack_gadgets, attack_routes, attack_names, attack_arguments, attack_streams, attack_bombs,
    attack_tensors, attack_zip, attack_polyglot, attack_tar, attack_safetensors, attack_folder,
    attack_v2, attack_surroundings,
)  # fmt: skip


def hostile_cases() -> Iterator[Case]:
    """Every hostile case."""
    for module in ATTACKS:
        yield from module.cases()


def honest_cases() -> Iterator[Case]:
    """Every odd but honest case; imports torch."""
    from tests.attacks import (
        honest_containers,
        honest_folders,
        honest_objects,
        honest_old,
        honest_tensors,
    )

    for module in (honest_tensors, honest_objects, honest_old, honest_containers, honest_folders):
        yield from module.cases()

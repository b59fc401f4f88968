"""Which tensors share bytes: ties, storages with several views, storages larger than theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ckptkit.nodes import Path, Storage, TensorNode

Places = Sequence[tuple[Path, TensorNode]]


class Tie(NamedTuple):
    """The same view at several places: stored once, loaded tied."""

    paths: tuple[Path, ...]
    nbytes: int


class SharedStorage(NamedTuple):
    """Different views of one storage; each is kept as a tensor of its own."""

    key: str
    paths: tuple[Path, ...]
    nbytes: int


class Slack(NamedTuple):
    """A storage larger than what its views show: ``freed_nbytes`` go when it is sealed."""

    key: str
    paths: tuple[Path, ...]
    nbytes: int
    freed_nbytes: int


class Sharing(NamedTuple):
    """How the tensors of a checkpoint share their bytes."""

    ties: tuple[Tie, ...]
    shared: tuple[SharedStorage, ...]
    slack: tuple[Slack, ...]


def find_sharing(places: Places) -> Sharing:
    """Group tensors by view and by storage; reads no byte. Largest first."""
    views: dict[tuple[Any, ...], tuple[TensorNode, list[Path]]] = {}
    for path, tensor in places:
        views.setdefault(tensor.same_view(), (tensor, []))[1].append(path)
    ties = [Tie(tuple(paths), tensor.nbytes) for tensor, paths in views.values() if len(paths) > 1]
    storages: dict[int, tuple[Storage, list[tuple[TensorNode, Path]]]] = {}
    for tensor, paths in views.values():
        if tensor.storage.source is not None:
            storages.setdefault(id(tensor.storage), (tensor.storage, []))[1].append(
                (tensor, paths[0])
            )
    shared, slack = [], []
    for storage, members in storages.values():
        paths_here = tuple(path for _, path in members)
        if len(members) > 1:
            shared.append(SharedStorage(storage.key, paths_here, storage.nbytes))
        freed = storage.nbytes - sum(tensor.nbytes for tensor, _ in members)
        if freed > 0:
            slack.append(Slack(storage.key, paths_here, storage.nbytes, freed))
    return Sharing(
        tuple(sorted(ties, key=lambda tie: -tie.nbytes)),
        tuple(sorted(shared, key=lambda row: -row.nbytes)),
        tuple(sorted(slack, key=lambda row: -row.freed_nbytes)),
    )


def unique_nbytes(places: Places) -> int:
    """Bytes of the tensors, each view counted once: what a sealed checkpoint holds."""
    return sum({tensor.same_view(): tensor.nbytes for _, tensor in places}.values())

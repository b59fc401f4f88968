"""Which tensors share bytes: ties, storages with several views, storages larger than theirs."""

from __future__ import annotations

from collections import Counter
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


def number_views(places: Places) -> list[int]:
    """Number each place by the bytes that it shows: ties, and only they, have the same number.

    A storage that one tensor alone looks into needs no comparison, and that is nearly all of them.
    """
    lookers = Counter([id(tensor.storage) for _, tensor in places])
    numbers: dict[Any, int] = {}
    return [
        numbers.setdefault(
            key if lookers[key := id(tensor.storage)] == 1 else tensor.same_view(), len(numbers)
        )
        for _, tensor in places
    ]


def find_sharing(places: Places, views: Sequence[int]) -> Sharing:
    """Group tensors by view (``number_views``) and by storage; reads no byte. Largest first."""
    tied: dict[int, list[Path]] = {}
    storages: dict[int, tuple[Storage, list[tuple[TensorNode, Path]]]] = {}
    for (path, tensor), view in zip(places, views, strict=True):
        if view in tied:
            tied[view].append(path)
            continue
        tied[view] = [path]
        storage = tensor.storage
        if storage.source is not None:
            storages.setdefault(id(storage), (storage, []))[1].append((tensor, path))
    sizes = {view: tensor.nbytes for (_, tensor), view in zip(places, views, strict=True)}
    ties = [Tie(tuple(paths), sizes[view]) for view, paths in tied.items() if len(paths) > 1]
    shared, slack = [], []
    for storage, members in storages.values():
        freed = storage.nbytes - sum(tensor.nbytes for tensor, _ in members)
        if len(members) == 1 and freed <= 0:
            continue
        paths_here = tuple(path for _, path in members)
        if len(members) > 1:
            shared.append(SharedStorage(storage.key, paths_here, storage.nbytes))
        if freed > 0:
            slack.append(Slack(storage.key, paths_here, storage.nbytes, freed))
    return Sharing(
        tuple(sorted(ties, key=lambda tie: -tie.nbytes)),
        tuple(sorted(shared, key=lambda row: -row.nbytes)),
        tuple(sorted(slack, key=lambda row: -row.freed_nbytes)),
    )

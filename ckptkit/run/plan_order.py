"""Which samples an adopted loader's own sampler would show, as one list an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch.utils import data

from ckptkit.run.order import Share, mix, shuffled
from ckptkit.run.rng import seed_streams, undisturbed

Order = Callable[[int, int], Sequence[Any]]  # (seed, epoch) -> indices, or batches of them


class Plan(NamedTuple):
    """The order of every epoch. ``batched``: its items are whole batches, a batch sampler's own."""

    order: Order
    share: Share
    name: str  # of the order, for people
    batched: bool = False


def plan_order(loader: data.DataLoader[Any]) -> Plan:
    """Say what a DataLoader would show, so that any place in it can be found by its number.

    The samplers of torch are replaced by permutations of our own. Any other sampler is asked for
    its whole epoch at once, under streams that were seeded with the epoch: a list of numbers, no
    sample is fetched for it. How many samples there are is asked anew for every epoch, as torch
    does: data may grow between two of them.
    """
    sampler, share = loader.sampler, Share(loader.batch_size or 1, drop_last=bool(loader.drop_last))
    own = type(loader.batch_sampler) is data.BatchSampler or loader.batch_sampler is None
    if not own:
        name = f"by {type(loader.batch_sampler).__name__}"
        return Plan(_asked(loader.batch_sampler), share, name, batched=True)
    if type(sampler) is data.SubsetRandomSampler:
        return Plan(_chosen(sampler), share, "a shuffled subset")
    if not _has_length(loader.dataset):
        return Plan(_asked(sampler), share, f"by {type(sampler).__name__}")
    if type(sampler) is data.DistributedSampler:
        share = share._replace(rank=sampler.rank, world=sampler.num_replicas)
        return _all_of(loader.dataset, share, shuffle=sampler.shuffle)
    shuffle = _is_plain_shuffle(sampler)
    if shuffle or type(sampler) is data.SequentialSampler:
        return _all_of(loader.dataset, share, shuffle=shuffle)
    return Plan(_asked(sampler), share, f"by {type(sampler).__name__}")


def _all_of(dataset: Any, share: Share, *, shuffle: bool) -> Plan:
    """Every sample once, in its order or in a permutation of the epoch's."""
    if shuffle:
        return Plan(lambda seed, epoch: shuffled(len(dataset), seed, epoch), share, "shuffled")
    return Plan(lambda _seed, _epoch: range(len(dataset)), share, "in order")


def _chosen(sampler: Any) -> Order:
    """Some of the samples, in a permutation of the epoch's."""

    def order(seed: int, epoch: int) -> Sequence[Any]:
        chosen = list(sampler.indices)
        return [chosen[i] for i in shuffled(len(chosen), seed, epoch)]

    return order


def _is_plain_shuffle(sampler: Any) -> bool:
    """A RandomSampler that shows every sample once."""
    if type(sampler) is not data.RandomSampler or sampler.replacement:
        return False
    return bool(sampler.num_samples == len(sampler.data_source))


def _asked(sampler: Any) -> Order:
    """The order of a sampler that we do not know: drawn whole, by streams of the epoch's own."""

    def order(seed: int, epoch: int) -> Sequence[Any]:
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        own = getattr(sampler, "generator", None)
        with undisturbed():
            seed_streams(mix(seed, epoch))
            if own is not None:
                own.manual_seed(mix(seed, epoch) >> 1)
            return list(sampler)

    return order


def _has_length(value: Any) -> bool:
    try:
        len(value)
    except TypeError:
        return False
    return True

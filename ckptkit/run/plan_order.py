"""Which samples an adopted loader's own sampler would show, as one list an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch.utils import data

from ckptkit.run.order import Share, mix, shuffled
from ckptkit.run.rng import seed_streams, undisturbed

Order = Callable[[int, int], Sequence[Any]]  # (seed, epoch) -> indices, or batches of them


class Plan(NamedTuple):
    """The order of every epoch. ``batched``: its items are whole batches (a batch sampler's own).

    ``length`` is the number of items, where it is the same in every epoch; else None.
    """

    order: Order
    share: Share
    batched: bool = False
    length: int | None = None


def plan_order(loader: data.DataLoader[Any]) -> Plan:
    """Say what a DataLoader would show, so that any place in it can be found by its number.

    The samplers of torch are replaced by permutations of our own. Any other sampler is asked for
    its whole epoch at once, under streams that were seeded with the epoch: a list of numbers, no
    sample is fetched for it.
    """
    sampler, share = loader.sampler, Share(loader.batch_size or 1, drop_last=bool(loader.drop_last))
    own = type(loader.batch_sampler) is data.BatchSampler or loader.batch_sampler is None
    if not own:
        return Plan(_asked(loader.batch_sampler), share, batched=True)
    n_samples = _length(loader.dataset)
    if type(sampler) is data.SequentialSampler and n_samples is not None:
        return Plan(lambda _seed, _epoch: range(n_samples), share, length=n_samples)
    if _is_plain_shuffle(sampler) and n_samples is not None:
        return Plan(lambda seed, epoch: shuffled(n_samples, seed, epoch), share, length=n_samples)
    if type(sampler) is data.SubsetRandomSampler:
        chosen = list(sampler.indices)
        return Plan(
            lambda seed, epoch: [chosen[i] for i in shuffled(len(chosen), seed, epoch)],
            share, length=len(chosen),
        )  # fmt: skip
    if type(sampler) is data.DistributedSampler and n_samples is not None:
        share = share._replace(rank=sampler.rank, world=sampler.num_replicas)
        order: Order = lambda _seed, _epoch: range(n_samples)  # noqa: E731
        if sampler.shuffle:
            order = lambda seed, epoch: shuffled(n_samples, seed, epoch)  # noqa: E731
        return Plan(order, share, length=n_samples)
    return Plan(_asked(sampler), share, length=_length(sampler))


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


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except TypeError:
        return None

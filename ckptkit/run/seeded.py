"""Randomness that belongs to a sample, not to the worker that happens to fetch it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ckptkit.run.order import Ticket, mix
from ckptkit.run.rng import seed_streams


class Fetched(NamedTuple):
    """A sample on its way to the collate function, with the seed that it was fetched under."""

    seed: int
    sample: Any


class SeededDataset:
    """A map-style dataset whose random augmentations depend on seed, epoch and position alone.

    The wrapped dataset is asked for plain indices. One that fetches whole batches
    (``__getitems__``) is seeded once a batch, by the batch's first sample.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        if hasattr(dataset, "__getitems__"):
            self.__getitems__ = self._fetch_many

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, ticket: Ticket) -> Fetched:
        seed_streams(ticket.seed)
        return Fetched(ticket.seed, self.dataset[ticket.item])

    def _fetch_many(self, tickets: Sequence[Ticket]) -> list[Fetched]:
        seed_streams(tickets[0].seed)
        samples = self.dataset.__getitems__([ticket.item for ticket in tickets])
        return [Fetched(t.seed, sample) for t, sample in zip(tickets, samples, strict=True)]


class SeededCollate:
    """A collate function whose random draws (masks, mixing) depend on the batch's first sample."""

    def __init__(self, collate: Callable[[Any], Any]) -> None:
        self.collate = collate

    def __call__(self, batch: Any) -> Any:
        """Join a batch of samples, or pass one sample on, under the seed of the first."""
        if isinstance(batch, Fetched):  # a loader that makes no batches
            seed_streams(mix(batch.seed))
            return self.collate(batch.sample)
        seed_streams(mix(batch[0].seed))
        return self.collate([fetched.sample for fetched in batch])

"""A loader that knows its place: it goes on from any sample, whatever loads the data."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils import data

from ckptkit.errors import MismatchError
from ckptkit.run.order import Share, Ticket, count_batches, deal, mix
from ckptkit.run.plan_order import Plan, plan_order
from ckptkit.run.rng import undisturbed
from ckptkit.run.seeded import SeededCollate, SeededDataset

_COPIED = (
    "num_workers", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context",
    "prefetch_factor", "persistent_workers", "pin_memory_device",
)  # fmt: skip


class Place(NamedTuple):
    """Where a loader stands. ``samples``: how many of the epoch all ranks together were handed.

    ``items`` and ``order``: how much the epoch shows, and how it is ordered; 0 and "" where nobody
    knows. They are compared where a resume goes on, and decide nothing.
    """

    seed: int
    epoch: int
    samples: int
    items: int = 0
    order: str = ""


class _Tickets:
    """The batch sampler of one loader: it goes on from ``samples`` and notes what it dealt."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.seed = plan, seed
        self.epoch = self.samples = 0
        self.dealt: deque[int] = deque()  # samples of each batch that is under way, in order
        self._known: tuple[tuple[int, int], Sequence[Any]] | None = None

    def order(self) -> Sequence[Any]:
        """The items of this epoch, which are kept until another one begins."""
        now = (self.seed, self.epoch)
        if self._known is None or self._known[0] != now:
            self._known = (now, self.plan.order(*now))
        return self._known[1]

    def __len__(self) -> int:
        if self.plan.batched:
            return sum(1 for _ in self._batches())
        return count_batches(self.samples, len(self.order()), self.plan.share)

    def __iter__(self) -> Iterator[list[Ticket]]:
        self.dealt.clear()
        if not self.samples:
            self._known = None  # what an epoch shows is asked for where it begins
        for tickets, count in self._batches():
            self.dealt.append(count)
            yield tickets

    def _batches(self) -> Iterator[tuple[list[Ticket], int]]:
        order, epoch, seed = self.order(), self.epoch, self.seed
        if self.plan.batched:
            yield from self._whole_batches(order)
            return
        for positions, count in deal(self.samples, len(order), self.plan.share):
            yield [Ticket(mix(seed, epoch, p), p, order[p]) for p in positions], count

    def _whole_batches(self, order: Sequence[Any]) -> Iterator[tuple[list[Ticket], int]]:
        """Batches as their own sampler made them; those before the place are left out whole."""
        first, start = 0, self.samples
        for batch in order:
            if first >= start:
                rows = enumerate(batch, first)
                yield [Ticket(mix(self.seed, self.epoch, p), p, i) for p, i in rows], len(batch)
            first += len(batch)


class ResumableLoader:
    """Hands out the batches of a DataLoader from any sample on, in the same order for ever.

    The order and every random augmentation follow from seed, epoch and position: workers,
    prefetching and batch size may change at any time. No stream of the script is drawn from.
    """

    def __init__(self, loader: data.DataLoader[Any], *, seed: int = 0) -> None:
        """Adopt a DataLoader over a map-style dataset. Raises: MismatchError for another one."""
        if isinstance(loader.dataset, data.IterableDataset):
            raise MismatchError(
                "loader", "reads an IterableDataset, which has no positions",
                "a dataset with __getitem__ and __len__",
                "bring a torchdata StatefulDataLoader for it",
            )  # fmt: skip
        self.source = loader
        self._tickets = _Tickets(plan_order(loader), seed)
        self._inner = _rebuilt(loader, self._tickets, seed)

    @property
    def share(self) -> Share:
        """Batch size, rank and world size."""
        return self._tickets.plan.share

    @property
    def place(self) -> Place:
        """Where it stands: behind the last batch that was handed out."""
        return Place(self._tickets.seed, self._tickets.epoch, self._tickets.samples)

    @property
    def described(self) -> Place:
        """The place, with what the epoch shows."""
        tickets = self._tickets
        return self.place._replace(items=len(tickets.order()), order=tickets.plan.name)

    def seek(self, place: Place) -> None:
        """Go on from ``place``; costs the same wherever it is."""
        self._tickets.seed, self._tickets.epoch, self._tickets.samples = place[:3]

    def __len__(self) -> int:
        """Batches that are left of this epoch."""
        return len(self._tickets)

    def __iter__(self) -> Iterator[Any]:
        tickets = self._tickets
        iterator = iter(self._inner)
        while True:
            try:
                batch = self._fetch(iterator)
            except StopIteration:
                return
            tickets.samples += tickets.dealt.popleft()
            yield batch

    def _fetch(self, iterator: Iterator[Any]) -> Any:
        if self._inner.num_workers:
            return next(iterator)
        with undisturbed():  # the dataset draws in this very process
            return next(iterator)


def _rebuilt(loader: data.DataLoader[Any], tickets: _Tickets, seed: int) -> data.DataLoader[Any]:
    """The same loader over tickets; its own generator, so that it draws from nobody's stream.

    Always in order: batches that overtake each other have no place.
    """
    options = {name: getattr(loader, name) for name in _COPIED if hasattr(loader, name)}
    options["collate_fn"] = SeededCollate(loader.collate_fn)
    options["generator"] = torch.Generator().manual_seed(mix(seed) >> 1)
    dataset: Any = SeededDataset(loader.dataset)
    if loader.batch_sampler is None:  # a loader that makes no batches: one ticket at a time
        return data.DataLoader(dataset, sampler=_Singles(tickets), batch_size=None, **options)
    return data.DataLoader(dataset, batch_sampler=tickets, **options)


class _Singles:
    """Tickets one by one, for a loader without batches."""

    def __init__(self, tickets: _Tickets) -> None:
        self._tickets = tickets

    def __len__(self) -> int:
        return len(self._tickets)

    def __iter__(self) -> Iterator[Ticket]:
        return (batch[0] for batch in self._tickets)

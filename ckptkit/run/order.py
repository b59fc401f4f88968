"""In which order an epoch shows its samples, and which of them a rank gets. Pure.

An epoch is one sequence of positions, 0 to n - 1; what lies at a position is decided by the seed
and the number of the epoch alone. Batch size, workers and world size only say who takes which
positions when, so all of them may change between two positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch


class Ticket(NamedTuple):
    """One sample to fetch. ``seed`` is its own: from the run's seed, the epoch and the position."""

    seed: int
    position: int
    item: int  # what the dataset is asked for


class Share(NamedTuple):
    """How a step's samples are spread: ``batch_size`` is that of one rank."""

    batch_size: int
    rank: int = 0
    world: int = 1
    drop_last: bool = False

    @property
    def step_samples(self) -> int:
        """Samples that all ranks together take at once."""
        return self.batch_size * self.world


def mix(*numbers: int) -> int:
    """64 bits that depend on every number, the same on every machine and in every process."""
    text = ",".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def shuffled(n_samples: int, seed: int, epoch: int) -> list[int]:
    """The permutation of one epoch, drawn from a generator of its own."""
    generator = torch.Generator().manual_seed(mix(seed, epoch) >> 1)
    order: list[int] = torch.randperm(n_samples, generator=generator).tolist()
    return order


def deal(start: int, n_samples: int, share: Share) -> Iterator[tuple[Sequence[int], int]]:
    """Yield (positions of this rank's batch, samples that all ranks take) from ``start`` on.

    Every rank gets equally many batches of equal size, because a rank that runs dry stops all
    others: where the last ones do not go round, positions of that step are dealt twice.
    """
    while start < n_samples:
        stop = min(start + share.step_samples, n_samples)
        if stop - start < share.step_samples and share.drop_last:
            return
        positions = list(range(start + share.rank, stop, share.world))
        if len(positions) < -(-(stop - start) // share.world):
            positions.append(start + share.rank % (stop - start))
        yield positions, stop - start
        start = stop


def count_batches(start: int, n_samples: int, share: Share) -> int:
    """How many batches ``deal`` yields."""
    left = max(n_samples - start, 0)
    whole, rest = divmod(left, share.step_samples)
    return whole + (1 if rest and not share.drop_last else 0)

"""Who writes what: consecutive parts of a file, cut into runs of about equal bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

RUNS_PER_WORKER = 8  # enough to even out at the end, few enough to keep reads sequential
MIN_RUN_NBYTES = 1 << 20
MAX_RUN_NBYTES = 64 << 20
MAX_RUN_PARTS = 4096  # so that an error or a Ctrl+C stops a run of tiny parts soon as well


class Run(NamedTuple):
    """Parts ``first`` to ``stop`` (excluded) of file ``file``; they begin at ``offset`` of it."""

    file: int
    first: int
    stop: int
    offset: int
    nbytes: int


def plan_runs(
    sizes: Sequence[Sequence[int]], header_nbytes: Sequence[int], workers: int
) -> list[Run]:
    """Cut all parts of all files into runs, in the order in which they are best started.

    Every file has at least one run, so that whoever ends its last one can sync it. Order is that
    of the files, except that giants (parts that outweigh two runs) come first, largest first: a
    giant begun last would leave the other workers idle.

    Units: bytes; ``sizes[f][p]`` is part ``p`` of file ``f``, written after the file's header.
    """
    total = sum(map(sum, sizes))
    share = total // (max(1, workers) * RUNS_PER_WORKER)
    goal = min(max(share, MIN_RUN_NBYTES), MAX_RUN_NBYTES)
    runs = [
        run
        for file, (parts, start) in enumerate(zip(sizes, header_nbytes, strict=True))
        for run in _runs_of_file(file, parts, start, goal)
    ]
    runs.sort(key=lambda run: -run.nbytes if run.nbytes > 2 * goal else 0)
    return runs


def _runs_of_file(file: int, sizes: Sequence[int], start: int, goal: int) -> Iterator[Run]:
    first, offset, nbytes = 0, start, 0
    for index, size in enumerate(sizes):
        full = nbytes + size > goal or index - first >= MAX_RUN_PARTS
        if full and index > first:
            yield Run(file, first, index, offset, nbytes)
            first, offset, nbytes = index, offset + nbytes, 0
        nbytes += size
    yield Run(file, first, len(sizes), offset, nbytes)

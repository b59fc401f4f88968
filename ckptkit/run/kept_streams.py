"""What one of several processes leaves behind when it is killed: its random streams.

The first process writes the checkpoints. Where it must do so alone, because another is no more or
fails to answer, it takes that one's streams from a small file that is written at every save point.
A step costs each process some 80 microseconds (median; 40 of them to take the streams once more).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from ckptkit.errors import CkptkitError
from ckptkit.run.mark import Mark
from ckptkit.run.ranks import Ranks
from ckptkit.run.rng import RngMark, as_tree, take_mark
from ckptkit.run.sections import modules_in
from ckptkit.run.stream_bytes import dump_streams, is_same, parse_streams
from ckptkit.storage.leftovers import remove
from ckptkit.storage.slots import Slots, read_slots

FOLDER = ".ckptkit.ranks"  # in the run's folder, while it trains
_MARKS = 3  # of the newest save points: a process is one ahead of another at most
_IN_BODY = _MARKS  # the place of what was noted inside a body


def keep_streams(
    run: Path, ranks: Ranks, state: Mapping[str, Any], generators: Mapping[str, Any]
) -> KeptStreams | None:
    """Begin to keep, in all processes together; None where there is one alone.

    What the dead left behind is removed first. Where the folder cannot be made, or is not shared,
    nothing is kept, and a save that is made alone says so.
    """
    if ranks.world == 1:
        return None
    if ranks.writes:
        with suppress(OSError):
            if remove(run / FOLDER):
                (run / FOLDER).mkdir()
    ranks.agree(0)
    return KeptStreams(run, ranks, state, generators)


class KeptStreams:
    """Keeps the streams of this process for the first one, which finds those of all others.

    They are kept at every save point, and inside a body before the gradients of a process can
    reach the others: so one that dies behind that has left what the step's end would have had.
    """

    def __init__(
        self, run: Path, ranks: Ranks, state: Mapping[str, Any], generators: Mapping[str, Any]
    ) -> None:
        self._folder, self._ranks, self._generators = run / FOLDER, ranks, generators
        self._at: list[int] = []  # the save point, in numbers
        self._n_noted = 0  # inside the body behind it
        self._noted: RngMark | None = None  # the last of these
        self._led: tuple[list[int], int, RngMark | None] = ([], 0, None)  # the same, one before
        self._numbers = cycle(range(_MARKS))
        self._slots: Slots | None = None
        if not ranks.writes:
            with suppress(OSError):
                self._slots = Slots(self._folder / str(ranks.rank))
        firsts: Iterator[Any] = _first_parameters(state)
        self._hooks = [one.register_hook(self._in_body) for one in firsts]

    def note(self, mark: Mark) -> None:
        """Keep a save point."""
        at = _numbers_of(mark)
        if at != self._at:
            self._led = self._at, self._n_noted, self._noted
            self._at = at
        elif mark.rng is self._noted:
            return
        self._n_noted, self._noted = 0, mark.rng
        self._write(next(self._numbers))

    def _in_body(self, _: torch.Tensor) -> None:
        """A gradient is there, and not with the others yet."""
        with suppress(RuntimeError):  # after a fault of a device its streams cannot be read
            self._noted = take_mark(self._generators)
            self._n_noted += 1
            self._write(_IN_BODY)

    def _write(self, slot: int) -> None:
        if self._slots is None or self._noted is None:
            return
        try:
            self._slots.write(slot, dump_streams([*self._at, self._n_noted], self._noted))
        except (OSError, ValueError, CkptkitError):
            self._give_up()  # a full disk ends no training; a save that is made alone says it

    def of_others(self, mark: Mark) -> list[dict[str, Any] | None]:
        """The streams of each other process at ``mark`` as data; None where nobody knows."""
        wanted = [[*_numbers_of(mark), 0]]
        at, n_noted, noted = self._led
        same_step = at[1:2] == [mark.steps]
        if self._at == _numbers_of(mark) and (n_noted or same_step) and is_same(noted, mark.rng):
            wanted.append([*at, n_noted])  # we drew nothing from there on: nor would they have
        return [self._find(rank, wanted) for rank in range(1, self._ranks.world)]

    def _find(self, rank: int, wanted: list[list[int]]) -> dict[str, Any] | None:
        kept = [parse_streams(data) for data in read_slots(self._folder / str(rank), _MARKS + 1)]
        known = {tuple(one.moment): one.streams for one in kept if one is not None}
        found = next((known[tuple(at)] for at in wanted if tuple(at) in known), None)
        return None if found is None else as_tree(found)

    def close(self) -> None:
        """Keep no more."""
        while self._hooks:
            self._hooks.pop().remove()
        self._give_up()

    def _give_up(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.close()

    def end(self) -> None:
        """Keep no more, and leave nothing behind: all is saved that can be."""
        self.close()
        if self._ranks.writes:
            remove(self._folder)


def _numbers_of(mark: Mark) -> list[int]:
    return [mark.epochs, mark.steps, mark.samples, mark.micro_batches]


def _first_parameters(state: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """Of each module one that gets a gradient: no other process has a step before all have."""
    for _, module in modules_in(state):
        first = next((one for one in module.parameters() if one.requires_grad), None)
        if first is not None:
            yield first

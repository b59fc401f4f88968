"""Who reads what: fills cut into tasks of about equal work, neighbours read together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NamedTuple

from ckptkit.nodes import ByteSource
from ckptkit.torch_bridge.values import Fill

RUN_NBYTES = 1 << 20  # what is read at once for many small tensors
SMALL_NBYTES = 128 << 10  # larger tensors are read straight into their memory
MAX_GAP_NBYTES = 16 << 10  # reading over a hole is cheaper than another call
MAX_RUN_TENSORS = 4096
_MAX_ALONE = 64 << 20  # a tensor that outweighs everything is begun first


#: A fill whose stored bytes are the live ones: where the bytes begin in the source of its task,
#: the address of the live memory, how many they are, their digest, the fill itself. A plain tuple,
#: because there may be 100,000 of them.
Piece = tuple[int, int, int, bytes, Fill]


class Run(NamedTuple):
    """Small pieces that follow each other in one source."""

    source: ByteSource
    pieces: list[Piece]


class Large(NamedTuple):
    """A piece that is read straight into its memory."""

    source: ByteSource
    piece: Piece


class Converted(NamedTuple):
    """A fill that is not a plain copy of bytes: another dtype, strides, device, or a product."""

    fill: Fill
    digest: bytes


Task = Run | Large | Converted


#: The contiguous bytes of a node: in what they lie, where they begin, how many, their digest.
Located = tuple[ByteSource, int, int, bytes]


def plan_tasks(
    fills: Sequence[Fill],
    address_of: Callable[[Fill], int | None],
    locate: Callable[[Fill], Located],
    digest_of: Callable[[Fill], bytes],
) -> list[Task]:
    """Make the tasks, in the order in which they are best begun: giants, then as the files lie.

    ``address_of`` says where bytes may be written as they are, ``locate`` where those lie;
    ``digest_of`` is for the others.
    """
    converted: list[Converted] = []
    by_source: dict[int, tuple[ByteSource, list[Piece]]] = {}
    for fill in fills:
        address = address_of(fill)
        if address is None:
            if fill.node.numel:
                converted.append(Converted(fill, fill.digest or digest_of(fill)))
            continue
        source, start, nbytes, digest = locate(fill)
        if not nbytes:
            continue
        group = by_source.get(id(source))
        if group is None:
            group = by_source[id(source)] = (source, [])
        group[1].append((start, address, nbytes, fill.digest or digest, fill))
    tasks: list[Task] = []
    for source, pieces in by_source.values():
        pieces.sort(key=itemgetter(0))
        tasks += _tasks_of(source, pieces)
    tasks += converted
    tasks.sort(key=_urgency)
    return tasks


def _urgency(task: Task) -> int:
    """Giants first, largest first; all others as they are."""
    nbytes = task.piece[2] if isinstance(task, Large) else 0
    nbytes = task.fill.node.nbytes if isinstance(task, Converted) else nbytes
    return -nbytes if nbytes > _MAX_ALONE else 0


def _tasks_of(source: ByteSource, pieces: list[Piece]) -> list[Task]:
    tasks: list[Task] = []
    run: list[Piece] = []
    first = end = 0
    for piece in pieces:
        start, _, nbytes, _, _ = piece
        if nbytes > SMALL_NBYTES:
            tasks.append(Large(source, piece))
            continue
        stop = start + nbytes
        fits = run and stop - first <= RUN_NBYTES and start - end <= MAX_GAP_NBYTES
        if fits and len(run) < MAX_RUN_TENSORS:
            run.append(piece)
            end = max(end, stop)
        else:
            run = [piece]
            tasks.append(Run(source, run))
            first, end = start, stop
    return tasks

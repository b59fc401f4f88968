"""Which process made something on disk, and whether it is still there."""

from __future__ import annotations

import errno
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

_TAG_CHARS = 8
_DEAD_STATES = frozenset({"Z", "X", "x"})  # proc(5): a zombie has ended, nobody asked for its code


class Owner(NamedTuple):
    """A process, told apart from every other on this or another computer.

    ``start`` is its start time as /proc gives it (clock ticks since boot; 0 where unknown), so
    that a reused process number is not mistaken for it. ``host``, ``boot`` and ``pids`` are tags
    of the computer, of its current run, and of the process numbers' namespace.
    """

    pid: int
    start: int
    host: str
    boot: str
    pids: str

    @property
    def text(self) -> str:
        """The form that stands in file names; ``parse_owner`` reads it."""
        return f"{self.pid}-{self.start}-{self.host}{self.boot}{self.pids}"


OWNER_PATTERN = rf"(\d+)-(\d+)-([0-9a-f]{{{3 * _TAG_CHARS}}})"


def parse_owner(pid: str, start: str, tags: str) -> Owner:
    """The owner that the three groups of ``OWNER_PATTERN`` name."""
    n = _TAG_CHARS
    return Owner(int(pid), int(start), tags[:n], tags[n : 2 * n], tags[2 * n :])


def current_owner() -> Owner:
    """This process."""
    pid = os.getpid()
    state = _proc_state(pid)
    return Owner(pid, state[1] if state else 0, *_place())


@cache
def _place() -> tuple[str, str, str]:
    """Tags of this computer, its boot and its namespace of process numbers."""
    from zlib import crc32  # a tag has to differ, not to withstand

    name = os.uname().nodename
    facts = (
        name + _read("/etc/machine-id"),
        _read("/proc/sys/kernel/random/boot_id") or name,
        _link("/proc/self/ns/pid"),
    )
    host, boot, pids = (f"{crc32(fact.encode()):08x}" for fact in facts)
    return host, boot, pids


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


def _proc_state(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a process; None where /proc does not show it."""
    text = _read(f"/proc/{pid}/stat")
    fields = text[text.rfind(")") + 2 :].split()  # the name before it may hold spaces and ")"
    return (fields[0], int(fields[19])) if len(fields) > 19 else None


def is_dead(owner: Owner) -> bool | None:
    """Whether the process has ended; None where that cannot be known from here."""
    host, boot, pids = _place()
    if owner.host != host:
        return None
    if owner.boot != boot:
        return bool(_read("/etc/machine-id")) or None  # the same computer, started again since
    if owner.pids != pids:
        return None
    state = _proc_state(owner.pid)
    if state is not None:
        return state[0] in _DEAD_STATES or (owner.start != 0 and state[1] != owner.start)
    return not _answers(owner.pid)


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as exc:
        return exc.errno != errno.ESRCH
    return True


def is_same_boot(owner: Owner) -> bool:
    """Whether it ran under the kernel that runs us, whatever its container."""
    return owner.boot == _place()[1]

"""Open a file whose tensors stay readable: kept open on success, closed on every failure."""

from __future__ import annotations

from collections.abc import Callable

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.gc_pause import paused_gc
from ckptkit.protocols import Opened, Probe
from ckptkit.types import Limits

Read = Callable[[FileBytes, Probe, Limits], Opened]


def open_kept(probe: Probe, limits: Limits, read: Read) -> Opened:
    """Let ``read`` make the tree; what it returns closes the file. Raises: ContainerError."""
    file = FileBytes(probe.path)
    try:
        with paused_gc():
            return read(file, probe, limits)
    except BaseException:
        file.close()
        raise

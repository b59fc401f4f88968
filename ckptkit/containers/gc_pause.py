"""Hold the cyclic garbage collector while many objects are made that all stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY_OBJECTS = 100_000  # collecting fewer takes a few milliseconds


@contextmanager
def paused_gc() -> Iterator[None]:
    """Pause collection inside the block: half of the time of 100,000 tensors goes there.

    What was the case before is the case afterwards, also after an exception.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            _age_new_objects()
            gc.enable()


def _age_new_objects() -> None:
    """Make everything new count as old, so that the first collection need not look at all of it.

    Freezing and thawing moves the objects between lists in no time; a program that keeps
    objects frozen itself is left alone. Few objects are left to the collector: old garbage is
    looked for so rarely that a process which opens thousands of small files would only grow.
    """
    if gc.get_count()[0] > _MANY_OBJECTS and not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()

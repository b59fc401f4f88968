"""A container that is imported only when a path may be of its kind.

Reading one safetensors file needs three modules, reading a torch zip thirty: whoever opens the
first shall not wait for the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ckptkit.protocols import Container, Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits

Guard = Callable[[Probe], bool]


class LazyContainer:
    """Stands for ``module:attribute`` and has its name, title and rank without importing it.

    ``guard`` must hold wherever the container itself would match; a test compares the two.
    """

    __slots__ = ("_attribute", "_guard", "_module", "_real", "name", "rank", "title")

    def __init__(self, place: str, name: str, title: str, rank: int, guard: Guard) -> None:
        self._module, _, self._attribute = place.partition(":")
        self.name, self.title, self.rank = name, title, rank
        self._guard = guard
        self._real: Container | None = None

    @property
    def real(self) -> Container:
        """The container itself, imported at the first call."""
        if self._real is None:
            from importlib import import_module

            made: Any = getattr(import_module(self._module), self._attribute)
            self._real = made()
        return self._real

    def may_match(self, probe: Probe) -> bool:
        """Say whether it is worth importing the container to ask it."""
        return self._guard(probe)

    def matches(self, probe: Probe) -> bool:
        """As the container itself says."""
        return self._guard(probe) and self.real.matches(probe)

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """As the container itself does."""
        return self.real.open(probe, limits, open_file)

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """As the container itself does."""
        return self.real.scan(probe, limits)

"""What a comparison of two checkpoints comes to: frozen values for every reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.nodes import Node
from ckptkit.types import DEFAULT_LIMITS, Limits, Notice

#: What can be said of a tensor, the gravest first. "alike": names and shapes are, and nobody
#: looked at the values. "close": within the tolerance that was asked for.
KINDS = (
    "shape", "only-a", "only-b", "dtype", "values", "moved", "renamed", "close", "alike", "equal",
)  # fmt: skip
SAME = frozenset({"close", "alike", "equal"})


class Side(NamedTuple):
    """A tensor of one of both checkpoints. ``name`` is its path below the section, as text."""

    section: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @property
    def place(self) -> str:
        """Section and name."""
        return f"{self.section}/{self.name}"


class Figures(NamedTuple):
    """How far two tensors of one shape are apart. A complex element counts as two numbers.

    ``max_abs``, ``relative_l2`` (of B - A, by the norm of A) and ``cosine`` are of the elements
    that are finite in both; the cosine is None where one side is all zeros.
    ``n_different`` counts values, so that 0.0 is -0.0, and NaN is NaN.
    """

    n_elements: int
    n_different: int
    max_abs: float
    relative_l2: float
    cosine: float | None
    n_nan: tuple[int, int]
    n_inf: tuple[int, int]
    is_close: bool


class TensorRow(NamedTuple):
    """One tensor, or a pair; ``kind`` is one of KINDS.

    ``twin`` is the place in the other checkpoint where the very same bytes lie under another
    name, if that says something.
    """

    kind: str
    a: Side | None
    b: Side | None
    figures: Figures | None = None
    twin: str = ""

    @property
    def side(self) -> Side:
        """The side that is there; A's of both."""
        side = self.a or self.b
        assert side is not None
        return side


class SettingRow(NamedTuple):
    """A value that is no tensor and differs. ``kind``: "differs", "only-a" or "only-b"."""

    section: str
    name: str
    kind: str
    a: Node = None
    b: Node = None


class Compared(NamedTuple):
    """What one of both checkpoints is."""

    path: FilePath
    container: str
    dialect: str
    schema_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """What to compare, and how. No ``sections`` means all but ``provenance``.

    Without ``values`` only names, shapes and dtypes count. ``verify`` hashes what has a recorded
    digest, too. With ``rtol`` or ``atol`` tensors count as equal where
    ``|a - b| <= atol + rtol * |b|`` holds for every element.
    ``started`` is called with (what is done now, its bytes), ``progress`` with bytes done since.
    """

    sections: tuple[str, ...] = ()
    values: bool = True
    verify: bool = False
    rtol: float = 0.0
    atol: float = 0.0
    dialect_a: str | None = None
    dialect_b: str | None = None
    limits: Limits = DEFAULT_LIMITS
    workers: int = 2
    started: Callable[[str, int], None] | None = None
    progress: Callable[[int], None] | None = None

    @property
    def is_tolerant(self) -> bool:
        """Whether close is good enough."""
        return self.rtol > 0 or self.atol > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffReport:
    """Every tensor of both, and every other value that differs. ``n_settings`` were compared."""

    a: Compared
    b: Compared
    rows: tuple[TensorRow, ...]
    settings: tuple[SettingRow, ...]
    n_settings: int = 0
    notices: tuple[Notice, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many tensors are of which kind, in the order of KINDS."""
        found = Counter(row.kind for row in self.rows)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    @property
    def differing(self) -> tuple[TensorRow, ...]:
        """The rows that make both checkpoints different."""
        return tuple(row for row in self.rows if row.kind not in SAME)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differing and not self.settings

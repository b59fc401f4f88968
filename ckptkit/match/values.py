"""What matching takes and gives: names with shapes on both sides, a policy, a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ckptkit.types import DTYPES, NOT_COVERED, Coverage

Shape = tuple[int, ...]


class Entry(NamedTuple):
    """One name of a state_dict, stored or wanted.

    ``kind``: "parameter", "buffer", "tensor" (stored, nobody knows which), "value" (no tensor: an
    extra state). ``tie``: entries of one number >= 0 share their memory; -1 shares with nobody.
    """

    name: str
    dtype: str  # as torch names it; "" for a value
    shape: Shape
    kind: str = "tensor"
    tie: int = -1

    @property
    def nbytes(self) -> int:
        """Bytes of the contiguous tensor; 0 for a value."""
        return math.prod(self.shape) * DTYPES[self.dtype].nbytes if self.dtype else 0


class ShapeChoice(NamedTuple):
    """What to do about a pair whose shapes differ: "error", "skip", "slice" or "custom".

    "slice" copies the common corner (the first rows and columns both have) and leaves the rest of
    the live tensor as it is. "custom" hands (name, stored tensor, live tensor) to ``resize``,
    which returns a tensor of the live shape.
    """

    action: Literal["error", "skip", "slice", "custom"]
    resize: Callable[[str, Any, Any], Any] | None = None


REFUSE_SHAPES = ShapeChoice("error")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchPolicy:
    """What a caller allows; the default allows nothing that is not exact up to wrapper prefixes.

    ``allow_missing``, ``allow_unexpected``: True for all, False for none, or globs of names
    (``*`` crosses dots). ``rename``: pairs (pattern, replacement) of regular expressions, applied
    with ``re.sub`` to stored names, in order, before anything else; or a mapping of exact names.
    ``apply_proposals``: apply the renames that likeness found, instead of proposing them.
    ``min_coverage``: the least fraction of wanted parameters, and of their bytes, that must be
    filled, 0 to 1; nothing at all is refused even at 0.
    ``cast``: whether a stored dtype may differ ("report": yes, and say so; "error": no).
    """

    allow_missing: bool | tuple[str, ...] = False
    allow_unexpected: bool | tuple[str, ...] = False
    rename: tuple[tuple[str, str], ...] | Mapping[str, str] = ()
    apply_proposals: bool = False
    on_shape: ShapeChoice = REFUSE_SHAPES
    min_coverage: float = 0.5
    cast: Literal["report", "error"] = "report"


class Pair(NamedTuple):
    """One stored name that fills one wanted name.

    ``how``: "exact", "prefix", "tie" (filled through the name that it shares memory with),
    "parametrization", "rename" (by a rule of the policy), "likeness" (an applied proposal).
    ``action``: "copy", "slice", "custom"; "product" multiplies by the stored tensor ``factor``
    (a pruned weight and its mask); "skip" leaves the live tensor as it is.
    ``cast`` is (stored dtype, wanted dtype) where they differ.
    """

    target: str
    source: str
    how: str = "exact"
    action: str = "copy"
    factor: str = ""
    cast: tuple[str, str] | None = None


class Proposal(NamedTuple):
    """A likely rename that was not applied: unambiguous by suffix and shape."""

    source: str
    target: str
    why: str


class Ambiguity(NamedTuple):
    """A wanted name that several stored ones could fill equally well, or the reverse."""

    name: str
    side: str  # "wanted" or "stored": whose name it is
    candidates: tuple[str, ...]


class ShapeMismatch(NamedTuple):
    """A pair of names whose shapes differ, and what became of it: "error", "skip", ..."""

    target: str
    source: str
    stored: Shape
    wanted: Shape
    outcome: str


#: What a fault of a LoadPlan is about. "coverage": under ``min_coverage``; "nothing": no wanted
#: tensor is filled at all.
FAULT_KINDS = ("rename", "missing", "unexpected", "shape", "cast", "coverage", "nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Every wanted and every stored name, each in exactly one place. Nothing was loaded yet.

    wanted = targets of ``pairs`` + ``missing`` + ``defaulted`` (benign ones that keep their
    value) + targets of ``mismatched`` that were not sliced, skipped or resized into a pair.
    stored = sources and factors of ``pairs`` + ``unexpected`` + ``benign`` (known to be
    derivable, and left) + sources of ``mismatched``.
    ``pairs`` stand in the order of the wanted names. A pair by "tie" asks for nothing: the memory
    is filled by the pair of the name that shares it, whose source and action it repeats.
    ``faults`` are the sentences for which the policy refuses the plan; empty means it may run.
    ``fault_kinds`` says of each fault what it is about: one of ``FAULT_KINDS``.
    ``prefixes``: (removed from the stored names, removed from the wanted ones), for the report.
    """

    pairs: tuple[Pair, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    defaulted: tuple[str, ...] = ()
    benign: tuple[str, ...] = ()
    mismatched: tuple[ShapeMismatch, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    ambiguities: tuple[Ambiguity, ...] = ()
    allowed_missing: tuple[str, ...] = ()
    allowed_unexpected: tuple[str, ...] = ()
    coverage: Coverage = NOT_COVERED
    prefixes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fault_kinds: tuple[str, ...] = ()

    @property
    def nothing_loaded(self) -> bool:
        """Whether not one wanted tensor would be filled: refused whatever the policy allows."""
        return "nothing" in self.fault_kinds


# -- optimizers -----------------------------------------------------------------------------------


class StoredParameter(NamedTuple):
    """One parameter of a stored optimizer. ``name`` is "" where nobody knows it.

    ``number`` is its key in ``state``; ``group`` the number of its param_group; ``shape`` None
    where unknown; ``state_shapes`` those of the tensors that the optimizer keeps for it.
    """

    number: int
    group: int
    name: str
    shape: Shape | None
    state_shapes: Mapping[str, Shape] = {}


class LiveParameter(NamedTuple):
    """One parameter of the live optimizer, in the order of its groups."""

    number: int
    group: int
    name: str
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerPlan:
    """Whose state goes to whom. Indices are those of the two optimizers.

    ``pairs``: (stored index, live index). ``fresh``: live ones that begin without state.
    ``dropped``: stored ones that nobody takes. ``by``: "name", "inferred name" (the stored
    model's order proved it), "order" (every shape agreed one to one). ``groups``: for each live
    group the stored group whose hyper-parameters it takes, or None.
    ``faults`` as in ``LoadPlan``.
    """

    pairs: tuple[tuple[int, int], ...] = ()
    fresh: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    reshaped: tuple[tuple[int, int], ...] = ()  # same name, other shape: fresh and dropped at once
    groups: tuple[int | None, ...] = ()
    by: str = "name"
    called: tuple[tuple[int, str, Shape], ...] = ()  # names and shapes inferred, by stored index
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Names = Sequence[str]
OnConflict = Literal["checkpoint", "current", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingPolicy:
    """Whose hyper-parameters win: a default, and exceptions by field ("lr", "T_max", ...)."""

    default: OnConflict = "checkpoint"
    fields: Mapping[str, OnConflict] = field(default_factory=dict)

    def of(self, name: str) -> OnConflict:
        """The choice for one field."""
        return self.fields.get(name, self.default)

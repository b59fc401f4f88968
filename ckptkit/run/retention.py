"""Which checkpoints of a run stay, which lose their training state, which go. Pure.

A policy says which checkpoints it wants kept; policies are joined by ``|``, and what nobody wants
goes. The newest, the best and what is pinned stay whatever a policy says.

    KeepLast(3) | KeepBest(2) | KeepEvery(epochs=10) | KeepSpans(hours=1, days=1)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

HOUR_S, DAY_S = 3600, 86_400


class Candidate(NamedTuple):
    """A whole checkpoint of a run, as retention sees it.

    ``created_s`` is Unix time. ``score`` is the watched metric, None where it was not measured.
    ``nbytes`` is what removing it frees (hard-linked files free nothing); ``state_nbytes`` what
    remains to be freed by keeping its weights alone.
    """

    name: str
    epochs: int
    steps: int
    created_s: float
    score: float | None = None
    pinned: str = ""  # why it must stay: "best", "latest", "pinned", "emergency"
    nbytes: int = 0
    state_nbytes: int = 0


class Policy(Protocol):
    """What every policy offers."""

    def wanted(self, oldest_first: Sequence[Candidate]) -> dict[str, str]:
        """Return name -> reason of each checkpoint that it wants kept."""


class _Joins:
    """Gives policies ``|``."""

    __slots__ = ()

    def __or__(self, other: Policy) -> Either:
        left = self.policies if isinstance(self, Either) else (self,)
        right = other.policies if isinstance(other, Either) else (other,)
        return Either((*left, *right))


@dataclass(frozen=True, slots=True)
class Either(_Joins):
    """What any of several policies wants."""

    policies: tuple[Policy, ...]

    def wanted(self, oldest_first: Sequence[Candidate]) -> dict[str, str]:
        """Return the union; the first reason counts."""
        kept: dict[str, str] = {}
        for policy in self.policies:
            for name, why in policy.wanted(oldest_first).items():
                kept.setdefault(name, why)
        return kept


@dataclass(frozen=True, slots=True)
class KeepAll(_Joins):
    """Everything."""

    def wanted(self, oldest_first: Sequence[Candidate]) -> dict[str, str]:
        """Return every name."""
        return {one.name: "everything is kept" for one in oldest_first}


@dataclass(frozen=True, slots=True)
class KeepLast(_Joins):
    """The ``count`` newest."""

    count: int

    def wanted(self, oldest_first: Sequence[Candidate]) -> dict[str, str]:
        """Return the newest ones."""
        newest = oldest_first[-self.count :] if self.count > 0 else ()
        return {one.name: f"one of the last {self.count}" for one in newest}


@dataclass(frozen=True, slots=True)
class KeepBest(_Joins):
    """The ``count`` best by the watched metric; of equal ones the older."""

    count: int
    mode: Literal["min", "max"] = "min"

    def wanted(self, oldest_first: Sequence[Candidate]) -> dict[str, str]:
        """Return the best ones; those without a finite score are never among them."""
        sign = 1 if self.mode == "min" else -1
        scored = [
            one
            for one in oldest_first
            if math.isfinite(math.nan if one.score is None else one.score)
        ]
        ranked = sorted(scored, key=lambda one: sign * (one.score or 0.0))
        return {one.name: f"one of the {self.count} best" for one in ranked[: self.count]}


@dataclass(frozen=True, slots=True)
class KeepEvery(_Joins):
    """The first one at or behind each multiple of so many epochs or steps."""

    epochs: int = 0
    steps: int = 0

    def wanted(self, oldest_first: Sequence[Candidate]) -> dict[str, str]:
        """Return the first checkpoint of every multiple that was passed."""
        kept: dict[str, str] = {}
        for unit, width in (("epochs", self.epochs), ("steps", self.steps)):
            passed = 0
            for one in oldest_first if width > 0 else ():
                multiple = int(getattr(one, unit)) // width
                if multiple > passed:
                    kept.setdefault(one.name, f"every {width} {unit}")
                    passed = multiple
        return kept


@dataclass(frozen=True, slots=True)
class KeepSpans(_Joins):
    """The newest of each of the last ``hours`` hours and of each of the last ``days`` days.

    Time is counted back from the newest checkpoint of all, not from now.
    """

    hours: int = 0
    days: int = 0

    def wanted(self, oldest_first: Sequence[Candidate]) -> dict[str, str]:
        """Return the newest of each span."""
        if not oldest_first:
            return {}
        now = max(one.created_s for one in oldest_first)
        kept: dict[str, str] = {}
        for word, width_s, count in (("hour", HOUR_S, self.hours), ("day", DAY_S, self.days)):
            newest: dict[int, str] = {}
            for one in sorted(oldest_first, key=lambda one: one.created_s):
                span = int((now - one.created_s) // width_s)
                if span < count:
                    newest[span] = one.name
            for name in newest.values():
                kept.setdefault(name, f"newest of its {word}")
        return kept


class Fate(NamedTuple):
    """What becomes of one checkpoint: "keep", "slim" (weights only) or "remove", and why."""

    candidate: Candidate
    verdict: Literal["keep", "slim", "remove"]
    why: str

    @property
    def freed_nbytes(self) -> int:
        """How much it frees."""
        if self.verdict == "remove":
            return self.candidate.nbytes
        return self.candidate.state_nbytes if self.verdict == "slim" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What stays: ``keep`` joins policies; beyond the newest ``full`` only weights are kept.

    ``full=None`` leaves every checkpoint that stays complete.
    """

    keep: Policy = KeepAll()
    full: int | None = None


def plan_retention(candidates: Iterable[Candidate], retention: Retention) -> list[Fate]:
    """Decide the fate of every checkpoint, oldest first.

    The newest one stays and stays complete, whatever the policy; so does what is pinned.
    """
    oldest_first = sorted(candidates, key=lambda one: (one.steps, one.epochs, one.created_s))
    wanted = retention.keep.wanted(oldest_first)
    fates = []
    for age, one in enumerate(reversed(oldest_first)):
        protected = "the newest" if age == 0 else one.pinned
        if protected:
            fates.append(Fate(one, "keep", protected))
        elif one.name not in wanted:
            fates.append(Fate(one, "remove", "no policy keeps it"))
        elif retention.full is not None and age >= retention.full:
            fates.append(Fate(one, "slim", f"{wanted[one.name]}; only {retention.full} stay whole"))
        else:
            fates.append(Fate(one, "keep", wanted[one.name]))
    return fates[::-1]

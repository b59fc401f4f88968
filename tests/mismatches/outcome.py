"""Run one case, by torch and by ckptkit, and count what is right afterwards."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import ckptkit
from ckptkit.errors import RestoreError
from tests.mismatches.case import Case, Live

FILE = "old.pt"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One call: what it was asked, what it printed, how much is right. ``said`` is whole."""

    asked: str
    said: str
    right: int
    of: int
    refused: bool
    word: str = "right"  # or "filled", where nothing can be right

    @property
    def share(self) -> str:
        return f"{self.right} of {self.of} {self.word}"

    @property
    def wrong(self) -> bool:
        return self.word == "right" and self.right < self.of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    strict: Tried
    lenient: Tried
    ours: tuple[Tried, ...]


def outcome_of(case: Case) -> Outcome:
    """Everything about one case; every call has live objects of its own."""
    with tempfile.TemporaryDirectory() as folder, _inside(Path(folder)):
        torch.save({k: v for k, v in case.saved().items() if k != "truth"}, FILE)
        return Outcome(
            strict=_by_torch(case, strict=True),
            lenient=_by_torch(case, strict=False),
            ours=tuple(_by_us(case, options) for options in case.tries),
        )


def _by_torch(case: Case, *, strict: bool) -> Tried:
    live = case.live()
    truth = case.truth(case.saved(), live)
    before = _copied(live.values())
    said = ""
    saved = torch.load(FILE, weights_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.torch_way(saved, live, strict=strict)
    except (RuntimeError, ValueError, KeyError, AttributeError) as exc:
        said = str(exc) if not isinstance(exc, KeyError) else f"KeyError: {exc}"
    return _counted(f"strict={strict}", said, truth, before, live, refused=bool(said))


def _by_us(case: Case, options: Mapping[str, Any]) -> Tried:
    live = case.live()
    truth = case.truth(case.saved(), live)
    before = _copied(live.values())
    try:
        report = ckptkit.restore(FILE, live.targets(), **options)
    except RestoreError as exc:
        report = exc.report
    asked = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return _counted(asked, str(report), truth, before, live, refused=not report.ok)


def _counted(
    asked: str, said: str, truth: Mapping[str, Any], before: Mapping[str, Any], live: Live,
    *, refused: bool,
) -> Tried:  # fmt: skip
    """Compare with the truth; where nothing can be right, count what was changed."""
    after = live.values()
    if truth:
        right = sum(name in after and _equal(after[name], value) for name, value in truth.items())
        return Tried(asked=asked, said=said, right=right, of=len(truth), refused=refused)
    changed = sum(not _equal(after[name], value) for name, value in before.items())
    return Tried(
        asked=asked, said=said, right=changed, of=len(before), refused=refused, word="filled"
    )


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    return bool(one == other)


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in values.items()}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Paths in reports are as a user types them: names of the current folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)

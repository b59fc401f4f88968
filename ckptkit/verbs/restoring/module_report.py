"""The report of one module: its plan, its submodules that load themselves, what stays empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckptkit.errors import CoverageError, MismatchError, RestoreError
from ckptkit.match.faults import some
from ckptkit.match.values import LoadPlan
from ckptkit.report.values import ComponentReport
from ckptkit.types import Coverage
from ckptkit.verbs.restoring.asked_report import AskedReport
from ckptkit.verbs.restoring.lines import lines_of
from ckptkit.verbs.restoring.module_plan import ModulePlan
from ckptkit.verbs.restoring.planned import Request

KIND = "module"
_TOO_LITTLE = ("nothing", "coverage")
_INCOMPLETE = {"missing", "mismatched", "skipped", "sliced", "allowed"}


def module_report(
    name: str, made: ModulePlan, told: AskedReport, request: Request
) -> tuple[ComponentReport, type[RestoreError]]:
    """Return the report, and which error its faults would be."""
    plan = made.plan
    coverage = _sum(plan.coverage, told.coverage)
    stored = {entry.name: entry for entry in made.stored.entries}
    lines = (*told.lines, *lines_of(plan, stored, made.entries))
    names, little = _faults(plan, told, coverage, request)
    lost, notes = _unfilled(made, request)
    lost += _expanded(made)
    faults = (*little, *names, *lost)
    status = "restored"
    if faults:
        status = "refused"
    elif any(line.kind in _INCOMPLETE for line in lines):
        status = "partly"
    report = ComponentReport(
        name=name,
        kind=KIND,
        status=status,
        source=made.stored.source,
        coverage=coverage,
        lines=lines,
        faults=faults,
        notes=(*_prefix_notes(plan), *plan.notes, *told.notes, *notes),
    )
    return report, MismatchError if names or lost else CoverageError


def _faults(
    plan: LoadPlan, told: AskedReport, coverage: Coverage, request: Request
) -> tuple[list[str], list[str]]:
    """Return the faults about names, and those about too little; the latter of all together."""
    pairs = list(zip(plan.faults, plan.fault_kinds, strict=True))
    names = [sentence for sentence, kind in pairs if kind not in _TOO_LITTLE]
    little = [sentence for sentence, kind in pairs if kind in _TOO_LITTLE]
    if told.coverage.of_tensors:
        little = []
        if coverage.of_tensors and not coverage.tensors:
            little = ["nothing would be loaded: no parameter is filled"]
        elif coverage.fraction < request.policy.min_coverage:
            least = f"{request.policy.min_coverage:.1%}"
            little = [f"only {coverage.fraction:.1%} is filled, min_coverage asks for {least}"]
    return [*names, *told.faults], little


META_NOTE = "on a meta-device model these would stay without values:"


def _sum(one: Coverage, other: Coverage) -> Coverage:
    return Coverage(*(a + b for a, b in zip(one, other, strict=True)))


def _unfilled(made: ModulePlan, request: Request) -> tuple[list[str], list[str]]:
    """Return faults and notes about what would stay on the meta device."""
    faults, notes = [], []
    _, lost, hidden = made.unfilled
    if lost and request.planned:
        notes.append(f"{META_NOTE} {some(lost)}")
    elif lost:
        have, them = f"{len(lost)} tensors have", "them"
        if len(lost) == 1:
            have, them = "1 tensor has", "it"
        faults.append(
            f"{have} no memory (meta device) and nothing fills {them}: {some(lost)}; make {them} "
            "on a real device first"
        )
    if hidden and not request.planned:
        what = "1 buffer that is never saved stays"
        if len(hidden) > 1:
            what = f"{len(hidden)} buffers that are never saved stay"
        notes.append(
            f"{what} on the meta device: {some(hidden)}; "
            "the code that makes the model has to make them"
        )
    return faults, notes


def _expanded(made: ModulePlan) -> list[str]:
    """Refuse buffers made by ``expand``: torch cannot copy into many elements in one place."""
    tensors = made.wanted.tensors
    targets = [pair.target for pair in made.plan.pairs if pair.action != "skip"]
    found = [
        name
        for name in targets
        if name in tensors
        and made.entries[name].kind == "buffer"
        and any(n > 1 and not step for n, step in zip(*_form(tensors[name]), strict=True))
    ]
    told = "several elements share one place in memory, so nothing can be copied into them"
    return [f"{told}: {some(found)}; clone() them where the model is made"] if found else []


def _form(tensor: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tensor.shape, tensor.stride()


def _prefix_notes(plan: LoadPlan) -> Iterator[str]:
    for words, side in zip(plan.prefixes, ("the checkpoint's", "the model's"), strict=True):
        if words:
            yield f"undone in {side} names: {', '.join(words)}"

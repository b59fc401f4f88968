"""What is said of a component for which the checkpoint has nothing."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ckptkit.errors import MismatchError
from ckptkit.report.values import ComponentReport, Line
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.sections import Place


def absent(name: str, kind: str, place: Place, request: Request) -> Planned:
    """Leave the object as it is; a fault unless ``allow_missing`` allows this name."""
    if is_allowed(name, request.policy.allow_missing):
        line = Line("allowed", name, detail=f"{place.why}; it stays as it is")
        return Planned(ComponentReport(name=name, kind=kind, status="absent", lines=(line,)))
    line = Line("missing", name, detail=place.why)
    advice = f"leave it out of the targets, or allow_missing=({name!r},)"
    faults = (f"{name}: {place.why}; {advice}",)
    report = ComponentReport(name=name, kind=kind, status="absent", lines=(line,), faults=faults)
    return Planned(report, error=MismatchError)


def is_allowed(name: str, allowed: bool | tuple[str, ...]) -> bool:
    """Say whether a policy's True, False or globs let ``name`` be missing."""
    if isinstance(allowed, bool):
        return allowed
    return any(fnmatchcase(name, pattern) for pattern in allowed)

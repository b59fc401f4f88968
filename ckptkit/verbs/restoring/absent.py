"""What is said of a component for which the checkpoint has nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ckptkit.errors import CoverageError, MismatchError
from ckptkit.report.values import ComponentReport, Line
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.sections import Place

MODULE = "module"


def absent(name: str, kind: str, place: Place, request: Request) -> Planned:
    """Leave the object as it is; a fault unless ``allow_missing`` allows this name.

    True speaks of names inside a module; that a whole module may be absent has to be said by name.
    """
    allowed = request.policy.allow_missing
    if is_allowed(name, allowed) and not (allowed is True and kind == MODULE):
        line = Line("allowed", name, detail=f"{place.why}; it stays as it is")
        return Planned(ComponentReport(name=name, kind=kind, status="absent", lines=(line,)))
    line = Line("missing", name)
    faults = (f"{name}: {place.why}",)
    report = ComponentReport(name=name, kind=kind, status="absent", lines=(line,), faults=faults)
    return Planned(report, error=MismatchError)


def refuse_nothing(parts: Sequence[Planned]) -> list[Planned]:
    """Refuse a restore whose modules are all absent, and all else too: it would load nothing."""
    statuses = {part.report.status for part in parts}
    found = [part for part in parts if part.report.kind == MODULE and not part.report.faults]
    if statuses != {"absent"} or not found:
        return list(parts)
    first = found[0]
    fault = f"nothing would be loaded: the checkpoint has nothing for {first.report.name}"
    refused = Planned(replace(first.report, faults=(fault,)), error=CoverageError)
    return [refused if part is first else part for part in parts]


def is_allowed(name: str, allowed: bool | tuple[str, ...]) -> bool:
    """Say whether a policy's True, False or globs let ``name`` be missing."""
    if isinstance(allowed, bool):
        return allowed
    return any(fnmatchcase(name, pattern) for pattern in allowed)

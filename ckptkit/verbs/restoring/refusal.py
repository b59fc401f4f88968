"""Which error a refused report becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ckptkit.errors import (
    MismatchError,
    OptimizerMatchError,
    RestoreError,
    SettingConflictError,
)
from ckptkit.report.values import LoadReport
from ckptkit.verbs.restoring.planned import Planned

_ON_CONFLICT = 'on_conflict="error"'  # every fault about settings names it


def refusal(report: LoadReport, parts: Sequence[Planned]) -> RestoreError:
    """Return the error for a report with faults: that of the first component that has any.

    Names and shapes come before all else, because the rest may follow from them. The report that
    it carries names it (``LoadReport.error``).
    """
    refused = [part for part in parts if part.report.faults]
    kinds = [_kind(part) for part in refused]
    kind = MismatchError if MismatchError in kinds else kinds[0]
    report = replace(report, error=kind.__name__.removesuffix("Error"))
    names = ", ".join(part.report.name for part in refused)
    error = kind(
        report.path, f"does not fit what it is to fill: {names}", "", "nothing was changed"
    )
    error.report = report
    return error


def _kind(part: Planned) -> type[RestoreError]:
    if part.error is not None:
        return part.error
    if all(_ON_CONFLICT in fault for fault in part.report.faults):
        return SettingConflictError
    if part.report.kind == "optimizer" and part.report.status != "absent":
        return OptimizerMatchError
    return MismatchError

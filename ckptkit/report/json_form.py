"""A report as plain data: every name of it, under fields that stay."""

from __future__ import annotations

from typing import Any

from ckptkit.report.advice import advise
from ckptkit.report.plain_values import plain_value
from ckptkit.report.summary import verdict
from ckptkit.report.values import KINDS, ComponentReport, LoadReport


def report_json(report: LoadReport) -> dict[str, Any]:
    """Every field of docs/cli.md, section "check"; what ``json.dumps`` takes as it is."""
    return {
        "path": report.path,
        "verdict": verdict(report),
        "ok": report.ok,
        "raises": report.error or None,
        "planned": report.planned,
        "mode": report.mode,
        "dialect": report.dialect,
        "schema_version": report.schema_version,
        "components": [_component(component) for component in report.components],
        "migrated": list(report.migrated),
        "left": [{"section": section, "reason": reason} for section, reason in report.left],
        "notes": list(report.notes),
        "next": [advice._asdict() for advice in advise(report)],
    }


def _component(component: ComponentReport) -> dict[str, Any]:
    kinds = [line.kind for line in component.lines]
    return {
        "name": component.name,
        "kind": component.kind,
        "status": component.status,
        "source": component.source,
        "coverage": component.coverage._asdict() | {"fraction": component.coverage.fraction},
        "counts": {kind: kinds.count(kind) for kind in (*KINDS, *_others(kinds)) if kind in kinds},
        "lines": [line._asdict() for line in component.lines],
        "settings": [
            {
                "place": setting.place,
                "field": setting.field,
                "asked": plain_value(setting.asked),
                "saved": plain_value(setting.saved),
                "used": plain_value(setting.used),
            }
            for setting in component.settings
        ],
        "faults": list(component.faults),
        "notes": list(component.notes),
    }


def _others(kinds: list[str]) -> list[str]:
    return sorted(set(kinds) - set(KINDS))

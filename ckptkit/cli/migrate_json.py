"""What ``migrate --json`` prints."""

from __future__ import annotations

from typing import Any

from ckptkit.cli.failures import error_json
from ckptkit.cli.json_output import notice_json
from ckptkit.tree.paths import path_text


def migration_json(report: Any) -> dict[str, Any]:
    """Every field of docs/cli.md, section "migrate"."""
    return {
        "source": str(report.source),
        "target": str(report.target),
        "container": report.container,
        "dialect": report.dialect,
        "evidence": list(report.evidence),
        "from_version": report.from_version,
        "to_version": report.to_version,
        "steps": list(report.steps),
        "placed": [
            {
                "source": path_text(row.source),
                "target": None if row.target is None else path_text(row.target),
                "nbytes": row.nbytes,
                "note": row.note,
                "derived": row.derived,
            }
            for row in report.placed
        ],
        "sections": list(report.sealing.sections),
        "tensors": report.sealing.tensors,
        "tensor_nbytes": report.sealing.tensor_nbytes,
        "files": [file._asdict() for file in report.sealing.files],
        "dry_run": report.dry_run,
        "proved": report.proved,
        "source_removed": report.source_removed,
        "left_behind": list(report.left_behind),
        "notices": [notice_json(notice) for notice in report.notices],
    }


def tree_json(report: Any) -> dict[str, Any]:
    """The same for ``--recursive``."""
    return {
        "reports": [migration_json(one) for one in report.reports],
        "failures": [
            {"path": str(path), "error": error_json(error)} for path, error in report.failures
        ],
        "skipped": [{"path": str(path), "reason": reason} for path, reason in report.skipped],
    }

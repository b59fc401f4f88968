"""What ``export --json`` prints."""

from __future__ import annotations

from typing import Any

from ckptkit.cli.json_output import notice_json
from ckptkit.verbs.exporting.values import ExportReport


def export_json(report: ExportReport) -> dict[str, Any]:
    """Every field of docs/cli.md, section "export"."""
    return {
        "source": str(report.source),
        "target": str(report.target),
        "to": report.to,
        "container": report.container,
        "dialect": report.dialect,
        "sections": list(report.sections),
        "files": [file._asdict() for file in report.files],
        "tensors": report.tensors,
        "tensor_nbytes": report.tensor_nbytes,
        "missing": list(report.missing),
        "left_out": [one._asdict() for one in report.left_out],
        "dry_run": report.dry_run,
        "proved": report.proved,
        "notices": [notice_json(notice) for notice in report.notices],
    }

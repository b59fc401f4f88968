"""What ``recover --json`` prints."""

from __future__ import annotations

from typing import Any

from ckptkit.cli.json_output import notice_json


def recovery_json(report: Any) -> dict[str, Any]:
    """Every field of docs/cli.md, section "recover"."""
    return {
        "source": str(report.source),
        "target": str(report.target),
        "container": report.container,
        "dialect": report.dialect,
        "saved": {"tensors": report.saved_tensors, "nbytes": report.saved_nbytes},
        "lost": [
            {
                "name": one.name,
                "shape": None if one.shape is None else list(one.shape),
                "dtype": one.dtype,
                "reason": one.reason,
            }
            for one in report.lost
        ],
        "half": [one._asdict() for one in report.half],
        "tallies": [{**one._asdict(), "total": one.total} for one in report.tallies],
        "guessed": list(report.guessed),
        "sections": list(report.sealing.sections),
        "files": [file._asdict() for file in report.sealing.files],
        "dry_run": report.dry_run,
        "notices": [notice_json(notice) for notice in report.notices],
    }

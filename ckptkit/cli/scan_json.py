"""What ``scan --json`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckptkit.cli.failures import error_json
from ckptkit.verbs.scan import ScanReport

_ORDER = ("dangerous", "suspicious", "unreadable", "incomplete", "error", "unknown", "clean")


def scans_json(outcomes: Sequence[Any]) -> dict[str, Any]:
    """Every field of docs/cli.md, section "scan"; ``verdict`` is the worst of all paths."""
    verdicts = [getattr(outcome, "verdict", "error") for outcome in outcomes]
    return {
        "verdict": min(verdicts, key=_ORDER.index),
        "paths": [
            outcome.to_json()
            if isinstance(outcome, ScanReport)
            else {"path": outcome[0], "verdict": "error", "error": error_json(outcome[1])}
            for outcome in outcomes
        ],
    }

"""What ``verify --json`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckptkit.cli.failures import error_json
from ckptkit.cli.json_output import notice_json
from ckptkit.verbs.verify import Verification


def verification_json(outcomes: Sequence[Any]) -> dict[str, Any]:
    """Every field of docs/cli.md, section "verify"; the checks that are not "ok" by name."""
    verdicts = [getattr(outcome, "verdict", "error") for outcome in outcomes]
    return {
        "verdict": "damaged" if "damaged" in verdicts else "error" if "error" in verdicts else "ok",
        "paths": [
            _one(outcome) if isinstance(outcome, Verification) else _failed(*outcome)
            for outcome in outcomes
        ],
    }


def _one(found: Verification) -> dict[str, Any]:
    outcomes = [check.outcome for check in found.checks]
    same = {} if found.same_as is None else {"same_files_as": str(found.same_as)}
    return {
        "path": str(found.path),
        **same,
        "container": found.container or None,
        "verdict": found.verdict,
        "nbytes": found.nbytes,
        "checked_nbytes": found.checked_nbytes,
        "counts": {name: outcomes.count(name) for name in ("ok", "damaged", "unverifiable")},
        "methods": found.methods(),
        "findings": [check._asdict() for check in found.checks if check.outcome != "ok"],
        "notices": [notice_json(notice) for notice in found.notices],
    }


def _failed(path: str, error: Any) -> dict[str, Any]:
    return {"path": path, "verdict": "error", "error": error_json(error)}

"""What ``prune --json`` prints."""

from __future__ import annotations

from typing import Any

from ckptkit.cli.json_output import plain
from ckptkit.cli.pruning import Outcome


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Every field of docs/cli.md, section "prune"; checkpoints newest first."""
    done = {fate.candidate.name for fate in outcome.done}
    return {
        "path": str(outcome.experiment.folder),
        "dry_run": outcome.dry_run,
        "checkpoints": [
            {
                "name": fate.candidate.name,
                "epochs": fate.candidate.epochs,
                "steps": fate.candidate.steps,
                "score": plain(fate.candidate.score),
                "fate": fate.verdict,
                "because": fate.why,
                "frees_nbytes": fate.freed_nbytes,
                "done": fate.candidate.name in done,
            }
            for fate in reversed(outcome.plan.fates)
        ],
        "frees_nbytes": outcome.plan.freed_nbytes,
        "damaged": [{"path": str(one.path), "reason": one.reason} for one in outcome.plan.skipped],
        "other_files": list(outcome.others),
        "pinned": list(outcome.pinned),
    }

"""What ``list --json`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckptkit.cli.json_output import plain
from ckptkit.verbs.listing import Listing, ListRow


def listing_json(listing: Listing, rows: Sequence[ListRow]) -> dict[str, Any]:
    """Every field of docs/cli.md, section "list"."""
    return {
        "path": str(listing.root),
        "checkpoints": [_row_json(row) for row in rows],
        "not_checkpoints": [
            {"path": str(row.path), "reason": row.reason, "error": row.error_kind}
            for row in listing.others
        ],
        "temporary_files": listing.temporary,
        "folders_too_deep": listing.too_deep,
    }


def _row_json(row: ListRow) -> dict[str, Any]:
    from datetime import UTC, datetime

    modified = datetime.fromtimestamp(row.modified_s, UTC).isoformat(timespec="seconds")
    return {
        "path": str(row.path),
        "container": row.container or None,
        "dialect": row.dialect or None,
        "schema_version": row.schema_version,
        "epochs_completed": plain(row.epochs_completed),
        "stored_epoch": plain(row.stored_epoch),
        "optimizer_steps": plain(row.optimizer_steps),
        "stored_step": plain(row.stored_step),
        "nbytes": row.nbytes,
        "modified": modified if row.modified_s else None,
        "state": row.state,
        "reason": row.reason or None,
        "error": row.error_kind or None,
    }

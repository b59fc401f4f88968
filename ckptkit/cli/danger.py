"""One line on what the pickles of a checkpoint would do, for screens about other things."""

from __future__ import annotations

from typing import Any

from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import LEVEL_STYLES, text
from ckptkit.verbs.inspect import Inspection
from ckptkit.verbs.scan import report

_MAX_NAMES = 4


def summarise(found: Inspection) -> Any:
    """Say which names are dangerous or unknown; "" where all of them are a checkpoint's own."""
    if not found.scans:
        return ""
    judged = report(found.path, found.container, found.scans)
    bad = [row for row in judged.rows if row.level in ("dangerous", "suspicious")]
    rows = bad or [row for row in judged.rows if row.level == "unknown"]
    names = list(dict.fromkeys(safe(f"{row.use.module}.{row.use.qualname}") for row in rows))
    told = ", ".join(names[:_MAX_NAMES])
    if len(names) > _MAX_NAMES:
        told += f" and {len(names) - _MAX_NAMES:,} more"
    if bad:
        return text((told, LEVEL_STYLES["danger"]), "; do not unpickle it (ckptkit scan says why)")
    if rows:
        return f"objects of classes that are kept as data: {told}"
    return ""

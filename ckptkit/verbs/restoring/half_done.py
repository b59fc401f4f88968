"""What has to be said when a restore ends in the middle."""

from __future__ import annotations

HALF_DONE = (
    "the live objects are partly filled by now and must not be trained on: restore another "
    "checkpoint into them, or make them anew"
)

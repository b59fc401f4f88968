"""Whether bytes could be the beginning of a pickle: asked of everything that might hide one."""

from __future__ import annotations

import re

# Protocols 0 and 1 have no mark of their own. What begins with one of these says so by its next
# bytes: a name, a mark before a collection, an empty collection, a long or a quoted string.
_TEXT_START = re.compile(
    rb"\(?[ci][^\s()\[\]{}:;,='\"#]{1,500}\n[^\s()\[\]{}:;,='\"#]{1,500}\n"  # GLOBAL or INST
    rb"|\((?:[dlt]p?\d*[\n.]|[ldt]|[()\]}NKMJGIFLSVXUc])"  # MARK and what may follow it
    rb"|[\]}][q.(\x85-\x87r]"  # an empty list or dict, then its memo, content or end
    rb"|L\d+L?\n\.|I\d+\n\.|F[\d.e+-]+\n\.|[SV][^\n]*\n(?:p\d+\n)?\."
    rb"|N\."
)
HEAD_NBYTES = 1024


def is_pickle_start(head: bytes) -> bool:
    """Say whether ``head`` begins like a pickle of protocol 2 to 5."""
    return head[:1] == b"\x80" and len(head) > 2 and head[1] <= 5


def is_text_pickle_start(head: bytes) -> bool:
    """Say whether ``head`` begins like a pickle of protocol 0 or 1; only reading it can tell."""
    return _TEXT_START.match(head) is not None

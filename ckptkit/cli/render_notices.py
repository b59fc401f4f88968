"""Notices for people: one line each, alike ones counted, dangers first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import LEVEL_STYLES, lines, text
from ckptkit.types import Notice

_ORDER = {"danger": 0, "warning": 1, "info": 2}
_MAX_PLACES = 3


def notice_lines(notices: Iterable[Notice]) -> Any:
    """One cell of lines; "" where there are none."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for notice in notices:
        places = groups.setdefault((notice.level, notice.code, notice.message), [])
        if notice.where and notice.where not in places:
            places.append(notice.where)
    told = []
    for (level, _, message), places in sorted(
        groups.items(), key=lambda pair: _ORDER.get(pair[0][0], 3)
    ):
        where = ", ".join(safe(place) for place in places[:_MAX_PLACES])
        more = f" and {len(places) - _MAX_PLACES} more" if len(places) > _MAX_PLACES else ""
        told.append(
            text((level, LEVEL_STYLES.get(level, "")), f": {safe(message)}",
                 (f"  ({where}{more})" if where else "", "dim"))
        )  # fmt: skip
    return lines(told) if told else ""

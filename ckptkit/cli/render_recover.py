"""``recover`` for people: what was saved, what is gone and why, what is not certain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ckptkit.cli.human import count_text, size_text
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import facts, lines, table, text
from ckptkit.report.collapse import collapse
from ckptkit.verbs.recovering.half_states import HALF_KEY

_MAX_ROWS = 20  # families of lost tensors; --every and --json have all
_MAX_HALF = 6
_NUMBER = re.compile(r"\d[\d,]*")


def render(report: Any, *, every: bool) -> Iterator[Any]:
    """Yield what is printed of one recovery: what is left, section by section, then what is not."""
    yield text((safe(report.source), "bold"), "  to  ", (safe(report.target), "bold"))
    yield ""
    if report.tallies:
        yield _sections(report.tallies)
        yield ""
    if report.lost:
        yield _lost(report.lost, every=every)
        yield ""
    yield facts(_facts(report))


def _sections(tallies: Any) -> Any:
    rows = []
    for one in tallies:
        whole = one.left == one.total
        state = ("whole", "green") if whole else ("in part" if one.left else "lost", "bold red")
        of = f"{one.left:,}" if whole else f"{one.left:,} of {one.total:,}"
        rows.append((safe(one.section), text(state), of))
    return table(("section", "is", "tensors"), rows, numbers=("tensors",))


def _lost(lost: Any, *, every: bool) -> Any:
    if every:
        rows = [(one.name, "", _shape(one), one.dtype, one.reason) for one in lost]
    else:
        rows = _families(lost)
        hidden = rows[_MAX_ROWS:]
        rows = rows[:_MAX_ROWS]
        if hidden:
            rows.append((f"and {len(hidden):,} more names; --every has all", "", "", "", ""))
    headings = ("lost", "count", "shape", "dtype", "reason")
    return table(headings, [tuple(map(safe, row)) for row in rows], numbers=("count",))


def _families(lost: Any) -> list[tuple[str, str, str, str, str]]:
    """Lost tensors whose names differ in their indices only, and that went the same way."""
    kinds = [(one.dtype, one.shape is None, _NUMBER.sub("0", one.reason)) for one in lost]
    rows = []
    for group in collapse([one.name for one in lost], kinds):
        members = [lost[number] for number in group.members]
        shapes = {_shape(one) for one in members}
        shape = shapes.pop() if len(shapes) == 1 else "several"
        reason = _common([one.reason for one in members])
        count = f"{group.size:,}" if group.size > 1 else ""
        rows.append((group.pattern, count, shape, members[0].dtype, reason))
    return rows


def _common(reasons: list[str]) -> str:
    """One reason for all: the numbers in which they differ become three dots."""
    numbers = [_NUMBER.findall(reason) for reason in reasons]
    shown = iter(
        column[0] if len(set(column)) == 1 else "..." for column in zip(*numbers, strict=True)
    )
    return _NUMBER.sub(lambda _: next(shown), reasons[0])


def _shape(one: Any) -> str:
    return "" if one.shape is None else "[" + ", ".join(map(str, one.shape)) + "]"


def _facts(report: Any) -> Iterator[tuple[str, Any]]:
    if report.dialect:
        yield "dialect", safe(report.dialect)
    saved = f"{count_text(report.saved_tensors, 'tensor')} ({size_text(report.saved_nbytes)})"
    if report.dry_run:
        yield "dry run", f"{saved} could be saved; nothing was written"
    else:
        yield "saved", text((f"{saved}, read back equal", "green"))
    if report.lost:
        yield "lost", text((count_text(len(report.lost), "part"), "bold red"))
    else:
        yield "lost", text(("nothing", "green"))
    yield "half left", _half(report.half)
    yield "not sure", lines([text((safe(one), "yellow")) for one in report.guessed])
    yield "notes", notice_lines(report.notices)
    yield "next", lines(_next(report))


def _half(half: Any) -> Any:
    """The parameters whose state lost a part: an optimizer is to begin anew with them."""
    if not half:
        return ""
    shown = [group.pattern for group in collapse([one.place for one in half])]
    more = len(shown) - _MAX_HALF
    told = ", ".join(map(safe, shown[:_MAX_HALF])) + (f" and {more:,} more" if more > 0 else "")
    whose = "its state" if len(half) == 1 else "their state"
    return lines([text((told, "yellow")), f"what is left of {whose} lies in extra/{HALF_KEY}"])


def _next(report: Any) -> list[str]:
    """What can be done with what was saved."""
    if report.dry_run:
        return ["without --dry-run it is written"]
    target = safe(report.target)
    if not report.lost:
        return [f"use {target} in place of the damaged one"]
    model = next((one for one in report.tallies if one.section == "model"), None)
    told = [f"ckptkit check {target} --model module:factory says whether your model would load it"]
    if model is None or model.left < model.total:
        told.insert(0, "weights are missing: an older checkpoint that is whole may be worth more")
    else:
        told.append(
            'the weights are whole: ckptkit.restore(path, {"model": model}, mode="warm-start") '
            "starts from them; state that is lost would begin anew"
        )
    return told

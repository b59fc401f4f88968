"""``export`` for people: the files, what found no place in them, and the proof."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckptkit.cli.human import count_text, size_text
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import facts, lines, table, text
from ckptkit.verbs.exporting.values import ExportReport

_MAX_FILES = 30
_MAX_LEFT_OUT = 4
_FORMS = {
    "torch": "torch.load(weights_only=True) opens it",
    "safetensors": "safetensors opens it",
    "hf": "from_pretrained opens it",
}


def render(report: ExportReport) -> Iterator[Any]:
    """Yield what is printed of one export."""
    yield text((safe(report.source), "bold"), "  to  ", (safe(report.target), "bold"))
    yield ""
    shown = report.files[:_MAX_FILES]
    yield table(
        ("file", "what", "tensors", "bytes"),
        [
            (safe(file.name), file.kind, f"{file.tensors:,}" if file.tensors else "",
             size_text(file.nbytes))
            for file in shown
        ],
        numbers=("tensors", "bytes"),
    )  # fmt: skip
    if len(shown) < len(report.files):
        yield text(f"  and {count_text(len(report.files) - len(shown), 'more file')}")
    yield ""
    yield facts(_facts(report))


def _facts(report: ExportReport) -> Iterator[tuple[str, Any]]:
    yield "form", _form(report)
    yield "sections", safe(", ".join(report.sections))
    yield "left out", _left_out(report)
    yield "notes", notice_lines(notice for notice in report.notices if notice.code != "left-out")
    tensors, nbytes = count_text(report.tensors, "tensor"), size_text(report.tensor_nbytes)
    if report.dry_run:
        yield "dry run", f"{tensors} ({nbytes}) would be written; nothing was"
    elif report.proved:
        yield "proved", text((f"{tensors} ({nbytes}) read back equal", "green"))


def _form(report: ExportReport) -> Any:
    """Who opens it, or what that one still lacks."""
    if report.missing:
        lacks = f"  from_pretrained cannot open it yet: {', '.join(report.missing)} is missing"
        return text(report.to, (lacks, "bold yellow"))
    return text(report.to, (f"  {_FORMS[report.to]}", "dim"))


def _left_out(report: ExportReport) -> Any:
    """Places that have no room in the form; the notice says why."""
    if not report.left_out:
        return ""
    why = next((one.message for one in report.notices if one.code == "left-out"), "")
    told = [text((safe(why), "yellow"))]
    told += [
        text(safe(one.place), (f"  {safe(one.what)}", "dim"))
        for one in report.left_out[:_MAX_LEFT_OUT]
    ]
    more = len(report.left_out) - _MAX_LEFT_OUT
    return lines([*told, f"and {more:,} more; --json names all"] if more > 0 else told)

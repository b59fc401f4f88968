"""What ``plot --json`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckptkit.cli.json_output import plain
from ckptkit.run.curves import Picture
from ckptkit.run.view import RunView


def picture_json(
    picture: Picture, views: Sequence[RunView], out: str | None, nbytes: int | None
) -> dict[str, Any]:
    """Every field of docs/cli.md, section "plot"."""
    return {
        "out": out,
        "nbytes": nbytes,
        "x": picture.x,
        "runs": [
            _run_json(picture, run, view) for run, view in enumerate(views)
        ],
        "panels": [
            {
                "title": panel.title,
                "log": panel.log,
                "curves": [
                    {
                        "run": picture.runs[one.run],
                        "metric": one.metric,
                        "x": [plain(x) for x in one.xs],
                        "y": [plain(y) for y in one.ys],
                    }
                    for one in panel.curves
                ],
            }
            for panel in picture.panels
        ],
        "notes": list(picture.notes),
    }  # fmt: skip


def _run_json(picture: Picture, run: int, view: RunView) -> dict[str, Any]:
    best = view.best
    return {
        "name": picture.runs[run],
        "path": str(view.folder),
        "rows": view.n_rows,
        "best": None if best is None else {k: plain(v) for k, v in best._asdict().items()},
        "marks": [
            {"kind": mark.kind, "x": plain(mark.x), "detail": mark.detail}
            for mark in picture.marks
            if mark.run == run
        ],
        "notes": list(view.notes),
    }

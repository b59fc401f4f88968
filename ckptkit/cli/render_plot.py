"""``plot`` for people: charts of characters, or what was written."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ckptkit.cli.chart import Look, charts
from ckptkit.cli.human import count_text, size_text
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import lines, text
from ckptkit.run.curves import Picture
from ckptkit.run.notebook import where_it_stands
from ckptkit.run.view import RunView


def drawn(picture: Picture, views: Sequence[RunView], height: int, limit: int) -> Iterator[Any]:
    """Yield the charts of the first panels, and the names of the others."""
    yield _title(picture, views)
    yield ""
    shown = picture._replace(panels=picture.panels[:limit])
    yield from charts(shown, terminal(height))
    left = picture.panels[limit:]
    if left:
        yield ""
        names = ", ".join(safe(panel.title) for panel in left)
        yield text((f"  not drawn: {names} (--metric NAME, or --out FILE for all)", "dim"))
    yield _notes(picture, views)


def written(
    picture: Picture, views: Sequence[RunView], out: str, nbytes: int | None
) -> Iterator[Any]:
    """Yield what the file shows."""
    yield text((safe(out), "bold"), f"  {size_text(nbytes or 0)}, ", _counted(picture))
    yield _notes(picture, views)


def terminal(height: int) -> Look:
    """What stdout can show: its width, colours, and whether it has braille."""
    from rich.console import Console

    console = Console(color_system="auto")
    coloured = sys.stdout.isatty() and bool(console.color_system) and not console.no_color
    width = shutil.get_terminal_size((80, 24)).columns
    try:
        "⣿┤★".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Look(width, height, coloured, unicode=False)
    return Look(width, height, coloured, unicode=True)


def _title(picture: Picture, views: Sequence[RunView]) -> Any:
    if len(views) > 1:
        return text((f"{len(views)} runs", "bold"), f"  {_counted(picture)}")
    view = views[0]
    last = view.checkpoints[0] if view.checkpoints else None
    stands = f"  {where_it_stands(last)}" if last else ""
    return text((safe(view.name), "bold"), stands)


def _counted(picture: Picture) -> str:
    names = {curve.metric for panel in picture.panels for curve in panel.curves}
    runs = f" of {len(picture.runs)} runs" if len(picture.runs) > 1 else ""
    return f"{count_text(len(names), 'metric')}{runs} over the {picture.x}s"


def _notes(picture: Picture, views: Sequence[RunView]) -> Any:
    several = len(views) > 1
    told = [f"{view.name}: {note}" if several else note for view in views for note in view.notes]
    told += picture.notes
    return (
        lines(["", *(text(("  note", "yellow"), f": {safe(one)}") for one in told)])
        if told
        else None
    )

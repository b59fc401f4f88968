"""Sheets of retrievals: what was asked, and what was found, best first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from ckptkit_trainers.engine.pictures import save_picture
from ckptkit_trainers.multimodal.data import Pairs
from ckptkit_trainers.multimodal.embed import Points, pictures_once

FONT = "fonts/ttf/DejaVuSans.ttf"
SIDE, GAP, LETTER, LINES, COLUMNS = 96, 8, 10, 5, 15  # pixels, lines, letters a line
SHOWN_QUERIES, SHOWN_ANSWERS = 8, 5


class Tile(NamedTuple):
    """A picture with what stands below it, and whether it is marked as right."""

    picture: Image.Image
    caption: str
    right: bool = False


def draw_sheet(rows: Sequence[tuple[str, Sequence[Tile]]]) -> Image.Image:
    """Lay tiles out, a question above each row."""
    font = ImageFont.truetype(str(Path(mpl.get_data_path(), FONT)), LETTER)
    tall = LETTER + 3 + SIDE + LINES * (LETTER + 2) + 2 * GAP
    wide = SIDE + 2 * GAP
    columns = max(len(tiles) for _, tiles in rows)
    page = Image.new("RGB", (max(columns * wide, 420), len(rows) * tall + GAP), "white")
    pen = ImageDraw.Draw(page)
    for number, (question, tiles) in enumerate(rows):
        top = GAP + number * tall
        pen.text((GAP, top), question, fill="black", font=font)
        for column, tile in enumerate(tiles):
            left, below = GAP + column * wide, top + LETTER + 5
            if tile.right:
                pen.rectangle(
                    (left - 3, below - 3, left + SIDE + 2, below + SIDE + 2), fill="green"
                )
            page.paste(tile.picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (left, below))
            text = "\n".join(textwrap.wrap(tile.caption, COLUMNS)[:LINES])
            pen.text((left, below + SIDE + 2), text, fill="black", font=font, spacing=2)
    return page


def progress_sheet(points: Points, pairs: Pairs, folder: Path, epoch: int) -> None:
    """Write what the first held-out captions find: the right picture has a green frame."""
    once = pictures_once(points.numbers)
    views, rows = points.views, []
    gallery = views["image"][once]
    for query in range(min(SHOWN_QUERIES, len(pairs))):
        likeness = gallery @ views["text"][query]
        tiles = []
        for place in likeness.topk(min(SHOWN_ANSWERS, len(gallery))).indices.tolist():
            found = pairs.pairs[int(once[place])]
            right = found.image == pairs.pairs[query].image
            caption = f"{likeness[place]:.2f} {found.caption}"
            tiles.append(Tile(pairs.shown(found), caption, right))
        rows.append((pairs.pairs[query].caption, tiles))
    save_picture(draw_sheet(rows), folder / f"epoch_{epoch:03d}.png")

"""The default pairs: every glyph of DejaVu Sans, which matplotlib brings, and its Unicode name."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from ckptkit_trainers.multimodal.source import Pair
from ckptkit_trainers.multimodal.tones import tones

FONT = "fonts/ttf/DejaVuSans.ttf"
SPLIT_SEED = 8  # who is held out never depends on the seed of a training
HELD_OUT = 500  # names in val, and as many in test
EM = 0.75  # of the picture's side: room for accents and descenders
BASELINE = 0.76  # of the picture's side, from above


class Glyphs:
    """White glyphs on black, on one baseline, and their names."""

    title = "DejaVu Sans: glyphs and their Unicode names"
    notes: Sequence[str] = ()

    def __init__(self) -> None:
        self._font = str(Path(mpl.get_data_path(), FONT))
        self._sized: dict[int, ImageFont.FreeTypeFont] = {}
        pairs = [Pair(f"U+{code:04X}", name, i) for i, (code, name) in enumerate(self._names())]
        order = torch.randperm(
            len(pairs), generator=torch.Generator().manual_seed(SPLIT_SEED)
        ).tolist()
        mixed = [pairs[i] for i in order]
        self.splits: Mapping[str, Sequence[Pair]] = {
            "test": mixed[:HELD_OUT],
            "val": mixed[HELD_OUT : 2 * HELD_OUT],
            "train": mixed[2 * HELD_OUT :],
        }

    def _names(self) -> list[tuple[int, str]]:
        """What the font can draw and Unicode names; what leaves the page empty is no picture."""
        font = self._at(16)
        named = (
            (code, unicodedata.name(chr(code), "")) for code in FT2Font(self._font).get_charmap()
        )
        return sorted((c, name) for c, name in named if name and font.getmask(chr(c)).getbbox())

    def _at(self, points: int) -> ImageFont.FreeTypeFont:
        if points not in self._sized:
            basic = ImageFont.Layout.BASIC  # shaping would join what is to be seen alone
            self._sized[points] = ImageFont.truetype(self._font, points, layout_engine=basic)
        return self._sized[points]

    def picture(self, pair: Pair, side: int) -> Image.Image:
        """Draw a glyph on the common baseline, in the middle; a wide one is made smaller."""
        letter = chr(int(pair.name.removeprefix("U+"), 16))
        font = self._at(max(1, round(EM * side)))
        left, _, right, _ = font.getbbox(letter, anchor="ls")
        if right - left > side:
            font = self._at(max(1, int(EM * side * side / (right - left))))
            left, _, right, _ = font.getbbox(letter, anchor="ls")
        page = Image.new("L", (side, side))
        place = (round(side / 2 - (left + right) / 2), round(BASELINE * side))
        ImageDraw.Draw(page).text(place, letter, fill=255, font=font, anchor="ls")
        return page.convert("RGB")

    def sound(self, pair: Pair, rate: int) -> torch.Tensor:
        """The name's letters as tones: a stand-in for a voice, and nothing more."""
        return tones(pair.caption, rate)

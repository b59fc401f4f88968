"""Aerial tiles that are drawn, not downloaded: buildings among things of the same colours.

Roofs, parking lots, roads, cars and bare soil take their colours from one palette, and each tile
has a light of its own. What tells a roof from a lot is its shadow, its ridge and its outline.
Every tile is a pure function of (seed, index, size).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

FINE = 3  # drawn so many times larger, then reduced: edges are smooth as a camera's
MANMADE = ((112, 110, 108), (150, 146, 140), (176, 170, 160), (124, 84, 70), (158, 112, 90),
           (92, 94, 102), (196, 194, 190), (140, 126, 104))  # fmt: skip
GROUND = ((86, 104, 60), (104, 112, 70), (126, 116, 84), (76, 94, 58), (140, 128, 98))

Point = tuple[float, float]
Pixels = NDArray[np.uint8]


class Tile(NamedTuple):
    """Shapes: ``image`` (size, size, 3), ``mask`` (size, size), 1 where a building stands."""

    image: Pixels
    mask: Pixels


class _Sheet:
    """One tile while it is drawn. Lengths are in fractions of its side."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self.rng, self.side = rng, side
        ground = GROUND[rng.integers(len(GROUND))]
        self.image = Image.new("RGB", (side, side), ground)
        self.pen = ImageDraw.Draw(self.image)
        self.mask = Image.new("L", (side, side), 0)
        angle = rng.uniform(0, 2 * math.pi)
        self.sun = (math.cos(angle), math.sin(angle))  # where shadows fall
        self.turn = rng.uniform(0, math.pi)  # of the streets, and of most houses

    def colour(self, palette: tuple[tuple[int, int, int], ...]) -> tuple[int, int, int]:
        """One of a palette, changed a little."""
        base = np.array(palette[self.rng.integers(len(palette))]) + self.rng.normal(0, 9, 3)
        red, green, blue = (int(value) for value in base.clip(20, 245))
        return red, green, blue

    def fill(self, corners: list[Point], colour: tuple[int, int, int]) -> None:
        """Fill a polygon of the picture."""
        self.pen.polygon([(x * self.side, y * self.side) for x, y in corners], fill=colour)

    def shade(self, corners: list[Point], strength: float) -> None:
        """Darken a polygon, soft at its edge."""
        places = [(x * self.side, y * self.side) for x, y in corners]
        left, top = (max(0, int(min(side)) - 3) for side in zip(*places, strict=True))
        right, below = (min(self.side, int(max(side)) + 4) for side in zip(*places, strict=True))
        if left >= right or top >= below:
            return
        veil = Image.new("L", (right - left, below - top), 0)
        inside = [(x - left, y - top) for x, y in places]
        ImageDraw.Draw(veil).polygon(inside, fill=int(255 * strength))
        veil = veil.filter(ImageFilter.BoxBlur(1))
        self.image.paste((14, 18, 30), (left, top, right, below), veil)


def draw_tile(seed: int, index: int, size: int) -> Tile:
    """Draw one tile. Units: pixels for ``size``."""
    rng = np.random.default_rng((seed, index, 7919))
    sheet = _Sheet(rng, size * FINE)
    _ground(sheet)
    for _ in range(rng.integers(1, 3)):
        _road(sheet)
    for _ in range(rng.integers(1, 4)):
        _lot(sheet)
    for _ in range(rng.integers(3, 8)):
        _building(sheet)
    for _ in range(rng.integers(4, 14)):
        _tree(sheet)
    image = np.asarray(sheet.image.resize((size, size), Image.Resampling.BOX), np.float32)
    share = np.asarray(sheet.mask.resize((size, size), Image.Resampling.BOX))
    return Tile(_photograph(image, rng), (share >= 128).astype(np.uint8))


def _ground(sheet: _Sheet) -> None:
    for _ in range(5):
        long, wide = sheet.rng.uniform(0.2, 0.6, 2)
        corners = _rectangle(sheet, long, wide, sheet.rng.uniform(0, 3))
        sheet.fill(corners, sheet.colour(GROUND))


def _road(sheet: _Sheet) -> None:
    turn = sheet.turn + sheet.rng.integers(2) * math.pi / 2
    sheet.fill(_rectangle(sheet, 3.0, sheet.rng.uniform(0.06, 0.12), turn), sheet.colour(MANMADE))


def _lot(sheet: _Sheet) -> None:
    """A paved rectangle with cars: a roof's colour and form, without a roof's shadow."""
    rng, turn = sheet.rng, sheet.turn + sheet.rng.normal(0, 0.1)
    centre = _somewhere(sheet)
    long, wide = rng.uniform(0.16, 0.36), rng.uniform(0.12, 0.24)
    sheet.fill(_turned(centre, _box(long, wide), turn), sheet.colour(MANMADE))
    for _ in range(rng.integers(0, 9)):
        x, y = rng.uniform(-0.42, 0.42) * long, rng.uniform(-0.4, 0.4) * wide
        car = [(x + dx, y + dy) for dx, dy in _box(0.05, 0.024)]
        corners = _turned(centre, car, turn)
        sheet.shade(_moved(corners, sheet.sun, 0.008), 0.5)
        sheet.fill(corners, sheet.colour(MANMADE))


def _building(sheet: _Sheet) -> None:
    """A rectangle or an L, with a shadow; a flat roof, or two slopes of which one is darker."""
    rng = sheet.rng
    turn = sheet.turn + rng.normal(0, 0.08) + (rng.uniform(0, 3) if rng.random() < 0.25 else 0)
    long, wide = rng.uniform(0.13, 0.34), rng.uniform(0.09, 0.2)
    outline = _box(long, wide)
    bent = rng.random() < 0.35
    if bent:
        a, b = long / 2, wide / 2
        cut = rng.uniform(0.3, 0.6)
        outline = [(-a, -b), (a, -b), (a, b), (a - long * cut, b), (a - long * cut, b + wide * 0.7),
                   (-a, b + wide * 0.7)]  # fmt: skip
    centre, colour = _somewhere(sheet), sheet.colour(MANMADE)
    corners = _turned(centre, outline, turn)
    height = rng.uniform(0.02, 0.06)
    for part in range(1, 5):  # a swept shadow: the ground between the house and its far edge
        sheet.shade(_moved(corners, sheet.sun, height * part / 4), 0.3)
    sheet.fill(corners, colour)
    if not bent and rng.random() < 0.6:
        slope = _turned(centre, [(-long / 2, 0), (long / 2, 0), (long / 2, wide / 2),
                                 (-long / 2, wide / 2)], turn)  # fmt: skip
        sheet.fill(slope, _scaled(colour, rng.uniform(0.72, 0.9)))
    places = [(x * sheet.side, y * sheet.side) for x, y in corners]
    ImageDraw.Draw(sheet.mask).polygon(places, fill=255)


def _tree(sheet: _Sheet) -> None:
    (x, y), radius = _somewhere(sheet), sheet.rng.uniform(0.015, 0.045)
    circle = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in np.linspace(0, 6.3, 14)]
    sheet.shade(_moved(circle, sheet.sun, radius), 0.45)
    sheet.fill(circle, sheet.colour(((52, 78, 40), (66, 88, 46), (44, 66, 38))))


def _photograph(image: NDArray[np.float32], rng: np.random.Generator) -> Pixels:
    """The light of the day, a slow gradient over the tile, and the noise of a sensor."""
    size = image.shape[0]
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    tilt = 1 + rng.uniform(-0.15, 0.15) * across + rng.uniform(-0.15, 0.15) * down
    light = rng.uniform(0.6, 1.3) * rng.normal(1, 0.05, 3)
    lit = image * tilt[..., None] * light + rng.normal(0, rng.uniform(3, 9), image.shape)
    return lit.round().clip(0, 255).astype(np.uint8)


# -- geometry -------------------------------------------------------------------------------------


def _somewhere(sheet: _Sheet) -> Point:
    x, y = sheet.rng.uniform(0.02, 0.98, 2)
    return float(x), float(y)


def _box(long: float, wide: float) -> list[Point]:
    a, b = long / 2, wide / 2
    return [(-a, -b), (a, -b), (a, b), (-a, b)]


def _rectangle(sheet: _Sheet, long: float, wide: float, turn: float) -> list[Point]:
    return _turned(_somewhere(sheet), _box(long, wide), turn)


def _turned(centre: Point, corners: list[Point], turn: float) -> list[Point]:
    cos, sin = math.cos(turn), math.sin(turn)
    return [(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in corners]


def _moved(corners: list[Point], way: Point, far: float) -> list[Point]:
    return [(x + way[0] * far, y + way[1] * far) for x, y in corners]


def _scaled(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    red, green, blue = (int(value * factor) for value in colour)
    return red, green, blue

"""Pictures to look at: sheets of images as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw

GAP, LETTER = 4, 14  # pixels between two images, and of a line of text


def sheet(
    rows: Sequence[Sequence[torch.Tensor]], titles: Sequence[str] = (), *, scale: int = 1
) -> Image.Image:
    """Lay images out in rows, with a title above each column.

    Shapes: each image (3, H, W) or (1, H, W), values 0 to 1; all of one size.
    """
    height, width = (scale * side for side in rows[0][0].shape[-2:])
    top = LETTER if titles else 0
    columns = max(map(len, rows))
    size = (columns * (width + GAP) + GAP, top + len(rows) * (height + GAP) + GAP)
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for number, title in enumerate(titles):
        pen.text((GAP + number * (width + GAP), 1), title, fill="black")
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            place = (GAP + column * (width + GAP), top + GAP + row * (height + GAP))
            page.paste(as_image(image).resize((width, height), Image.Resampling.NEAREST), place)
    return page


def as_image(image: torch.Tensor) -> Image.Image:
    """Turn a tensor into an image. Shapes: (3, H, W) or (1, H, W), values 0 to 1."""
    pixels = image.detach().float().clamp(0, 1).mul(255).round().byte().cpu()
    pixels = pixels.expand(3, *pixels.shape[-2:]) if pixels.shape[0] == 1 else pixels
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a PNG, and the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)

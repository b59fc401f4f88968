"""Pictures to look at: what was there, what was found, and where the two differ."""

from __future__ import annotations

import torch
from PIL import Image

from ckptkit_trainers.engine.pictures import sheet

FOUND, MISSED, INVENTED = (0.25, 0.85, 0.35), (1.0, 0.25, 0.2), (1.0, 0.85, 0.1)
TITLES = ("image", "truth", "prediction", "errors")


def overlays(
    images: torch.Tensor, masks: torch.Tensor | None, guesses: torch.Tensor, *, scale: int = 1
) -> Image.Image:
    """Lay pictures out in rows: image, truth, prediction, errors; without truth, no errors.

    In the errors buildings that were found are green, missed ones red, invented ones yellow.
    Shapes: images (N, 3, H, W), values 0 to 1; masks and guesses (N, 1, H, W), 0 or 1.
    """
    rows = []
    for number, (image, guess) in enumerate(zip(images, guesses, strict=True)):
        row = [image, tinted(image, guess, FOUND)]
        if masks is not None:
            row = [image, tinted(image, masks[number], (0.3, 0.55, 1.0)), row[1],
                   errors_of(image, masks[number], guess)]  # fmt: skip
        rows.append(row)
    titles = TITLES if masks is not None else ("image", "prediction")
    return sheet(rows, titles, scale=scale)


def errors_of(image: torch.Tensor, mask: torch.Tensor, guess: torch.Tensor) -> torch.Tensor:
    """Colour a picture by what was found, missed and invented."""
    there, said = mask.bool(), guess.bool()
    grey = image.mean(0, keepdim=True).expand(3, *image.shape[1:]) * 0.7
    for where, colour in ((there & said, FOUND), (there & ~said, MISSED),
                          (said & ~there, INVENTED)):  # fmt: skip
        grey = tinted(grey, where, colour, 0.75)
    return grey


def tinted(
    image: torch.Tensor, where: torch.Tensor, colour: tuple[float, ...], strength: float = 0.6
) -> torch.Tensor:
    """Lay a colour over part of a picture."""
    veil = torch.tensor(colour).view(3, 1, 1)
    return torch.where(where.bool(), image * (1 - strength) + veil * strength, image)

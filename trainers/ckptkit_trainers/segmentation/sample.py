"""``ckptkit sample``: masks and overlays of pictures of yours, or of held-out patches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ckptkit.plugin import errors
from ckptkit_trainers.engine.out import open_out
from ckptkit_trainers.engine.picture_file import ENDINGS
from ckptkit_trainers.engine.pictures import as_image, save_picture
from ckptkit_trainers.engine.settings import check_settings
from ckptkit_trainers.segmentation.config import Config, SampleOptions
from ckptkit_trainers.segmentation.data import open_data, read_image
from ckptkit_trainers.segmentation.folders import pictures_in
from ckptkit_trainers.segmentation.overlay import overlays
from ckptkit_trainers.segmentation.predict import chances_of
from ckptkit_trainers.segmentation.renewed import renewed
from ckptkit_trainers.segmentation.restored import restored

SHOWN = 4  # held-out patches, where nobody says how many


class Subject(NamedTuple):
    """A picture to be asked about, and the truth where it is known."""

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None


def sample(checkpoint: Path, config: Config, options: SampleOptions) -> dict[str, Any]:
    """Write NAME_mask.png and NAME_overlay.png for each picture; say how much is building."""
    check_settings(options)
    config = renewed(config, data=options.data)
    subjects = _yours(options) if options.input else _held_out(config, options.number)
    model, device, told = restored(checkpoint, config, options.device)
    threshold = options.threshold or config.threshold
    rows = []
    with open_out(options.out, checkpoint) as out:
        for one in subjects:
            guess = chances_of(model, one.image, config.size, device) >= threshold
            image = torch.from_numpy(one.image).permute(2, 0, 1).float() / 255
            mask = None if one.mask is None else torch.from_numpy(one.mask)[None, None]
            picture = overlays(image[None], mask, guess[None], scale=max(1, 256 // image.shape[-1]))
            save_picture(picture, out / f"{one.name}_overlay.png")
            save_picture(as_image(guess.float()), out / f"{one.name}_mask.png")
            rows.append({"picture": one.name, "building": round(guess.float().mean().item(), 4)})
    return {**told, "threshold": threshold, "out": str(out), "pictures": rows}


def _yours(options: SampleOptions) -> Iterator[Subject]:
    path = Path(options.input)
    paths = pictures_in(path) if path.is_dir() else [path]
    if not path.exists() or not paths:
        raise errors.NotFoundError(
            path, "holds no picture" if path.exists() else "is not there",
            f"a picture or a folder of them ({', '.join(sorted(ENDINGS))})", "look at --input",
        )  # fmt: skip
    chosen = paths[: options.number or None]
    stems = [one.stem for one in chosen]
    names = [one.stem if stems.count(one.stem) == 1 else one.name for one in chosen]
    return (Subject(name, read_image(one)) for name, one in zip(names, chosen, strict=True))


def _held_out(config: Config, number: int) -> Iterator[Subject]:
    data = open_data(config).val
    count = min(number or SHOWN, len(data))
    return (Subject(f"held_out_{index}", *data.tile(index)) for index in range(count))

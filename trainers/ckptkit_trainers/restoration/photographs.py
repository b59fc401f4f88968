"""Photographs: which there are, which are held out, and their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ckptkit.plugin import errors
from ckptkit_trainers.engine.folder_files import files_below, left_out
from ckptkit_trainers.engine.held_out import by_lot
from ckptkit_trainers.engine.picture_file import (
    ENDINGS,
    is_picture,
    opened,
    read_picture,
    require_eight_bits,
)

HELD_OUT_FOLDERS = ("val", "valid", "validation", "test")
HELD_OUT = 0.1  # of a folder without such a subfolder
CACHE_NBYTES = 1 << 30

#: In the wheels themselves, as files: no library is imported, and nothing is downloaded.
WHEEL_FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
WHEEL_TRAIN = (
    "skimage/brick.png", "skimage/clock_motion.png", "skimage/coffee.png", "skimage/coins.png",
    "skimage/grass.png", "skimage/gravel.png", "skimage/hubble_deep_field.jpg", "skimage/ihc.png",
    "skimage/moon.png", "skimage/motorcycle_left.png", "skimage/motorcycle_right.png",
    "skimage/retina.jpg", "skimage/rocket.jpg", "sklearn/china.jpg", "sklearn/flower.jpg",
)  # fmt: skip
WHEEL_HELD_OUT = ("skimage/astronaut.png", "skimage/camera.png", "skimage/chelsea.png")


class Split(NamedTuple):
    """Files to train on, and files that training never sees."""

    train: tuple[Path, ...]
    held_out: tuple[Path, ...]


def find_photographs(folder: str) -> Split:
    """Return the photographs of a folder, or those inside the wheels for an empty name.

    ``folder`` holds ``train/`` and ``val/``, or pictures of which a tenth is held out, by the
    digests of their names. Raises: InputError, which says what was looked for.
    """
    if not folder:
        return _of_the_wheels()
    root = Path(folder)
    held_out = next((root / name for name in HELD_OUT_FOLDERS if (root / name).is_dir()), None)
    if (root / "train").is_dir() and held_out is not None:
        return Split(pictures_in(root / "train"), pictures_in(held_out))
    every = pictures_in(root)
    if len(every) < 2:
        raise errors.NotFoundError(
            root, "holds one picture", "two at least: one to train on, one that is held out",
            "bring more pictures, or make the folders train/ and val/",
        )  # fmt: skip
    (chosen,) = by_lot((one.relative_to(root).as_posix() for one in every), HELD_OUT)
    parts: tuple[list[Path], list[Path]] = ([], [])
    for one in every:
        parts[one.relative_to(root).as_posix() in chosen].append(one)
    return Split(tuple(parts[0]), tuple(parts[1]))


def notes_of(folder: str) -> tuple[str, ...]:
    """Tell which files of a folder are no photographs, whatever they are."""
    return left_out(Path(folder), is_picture) if folder else ()


def pictures_in(place: Path) -> tuple[Path, ...]:
    """Return a picture, or those of a folder and its subfolders by name. Raises: NotFoundError."""
    if place.is_file():
        return (place,)
    if not place.is_dir():
        raise errors.NotFoundError(
            place,
            "there is no such folder",
            "a folder of photographs",
            "look at --data; of a finished training, --set data=FOLDER",
        )
    found = [one for one in files_below(place) if is_picture(one)]
    if not found:
        raise errors.NotFoundError(
            place, "holds no picture", f"files that end in {', '.join(ENDINGS)}",
            "give a folder of photographs, or none for those inside the wheels",
        )  # fmt: skip
    return tuple(found)


def _of_the_wheels() -> Split:
    return Split(tuple(map(_in_wheel, WHEEL_TRAIN)), tuple(map(_in_wheel, WHEEL_HELD_OUT)))


def _in_wheel(name: str) -> Path:
    library, _, file_name = name.partition("/")
    spec = find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise errors.MissingExtraError(
            f"the photographs inside {library}", "it is not installed", "the library",
            "pip install 'ckptkit[trainers]', or give a folder of your own: --data FOLDER",
        )  # fmt: skip
    path = Path(spec.submodule_search_locations[0], WHEEL_FOLDERS[library], file_name)
    if not path.is_file():
        raise errors.NotFoundError(
            path, "is not there", f"a photograph that {library} has had for years",
            "install it anew, or give a folder of your own: --data FOLDER",
        )  # fmt: skip
    return path


class Gallery:
    """Photographs as tensors, decoded when they are asked for and kept while there is room."""

    def __init__(self, paths: Sequence[Path], *, colours: str, least: int = 1) -> None:
        """Look at every header. Raises: InputError for one that is too small, or of 16 bits."""
        self.paths, self._mode = tuple(paths), "RGB" if colours == "colour" else "L"
        self._kept: dict[int, torch.Tensor] = {}
        for path in self.paths:
            with opened(path) as image:
                require_eight_bits(path, image)
                if min(image.size) < least:
                    raise errors.SettingError(
                        path, f"is {image.width} x {image.height} pixels",
                        f"{least} at least on each side",
                        "take it out, or train with a smaller --patch",
                    )  # fmt: skip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return one photograph. Shapes: (3 or 1, H, W), bytes."""
        if index not in self._kept:
            pixels = read_pixels(self.paths[index], self._mode)
            room = CACHE_NBYTES - sum(map(torch.Tensor.numel, self._kept.values()))
            if pixels.numel() > room:
                self._kept.clear()
            self._kept[index] = pixels
        return self._kept[index]


def read_pixels(path: Path, mode: str) -> torch.Tensor:
    """Decode a picture. Shapes: (3 or 1, H, W), bytes. Raises: InputError."""
    pixels = torch.from_numpy(np.array(read_picture(path, mode)))
    return pixels.unsqueeze(0) if pixels.dim() == 2 else pixels.permute(2, 0, 1).contiguous()

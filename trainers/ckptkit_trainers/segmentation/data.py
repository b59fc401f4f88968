"""Patches of pictures with their masks, generated or out of a folder, as tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from ckptkit.plugin import errors
from ckptkit_trainers.engine.batches import training_batches
from ckptkit_trainers.engine.picture_file import opened, read_picture, require_eight_bits
from ckptkit_trainers.engine.place import Place
from ckptkit_trainers.engine.telling import Telling, TellingCollate
from ckptkit_trainers.segmentation.config import Config
from ckptkit_trainers.segmentation.folders import Pair, Split, notes_of, read_folder
from ckptkit_trainers.segmentation.mask_file import read_mask
from ckptkit_trainers.segmentation.tiles import Tile, draw_tile

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what pretrained SegFormers expect
VAL_SEED = 1_000_003  # added to the seed: held-out tiles are those of another seed
SIDES = 32  # the deepest stage sees a patch so many times smaller


class Patches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Patches by number. Shapes: image (3, S, S), normalised; mask (1, S, S), 0 or 1."""

    def __init__(self, config: Config, *, augment: bool) -> None:
        self.size, self.augment = config.size, augment

    def __len__(self) -> int:
        raise NotImplementedError

    def tile(self, index: int) -> Tile:
        """The patch as it was drawn or read."""
        raise NotImplementedError

    def group(self, index: int) -> str:  # noqa: ARG002
        """The city that a patch is of, "" where nobody says."""
        return ""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        tile = self.tile(index)
        image = torch.from_numpy(np.ascontiguousarray(tile.image)).permute(2, 0, 1).float() / 255
        mask = torch.from_numpy(tile.mask.astype(np.float32))[None]
        if self.augment:
            image, mask = turned(image, mask)
        return normalised(image), mask


class Drawn(Patches):
    """Generated tiles; each is drawn when it is first asked for, and kept."""

    def __init__(self, config: Config, *, held_out: bool = False) -> None:
        super().__init__(config, augment=config.augment and not held_out)
        self._seed = config.seed + (VAL_SEED if held_out else 0)
        self._tiles: list[Tile | None] = [None] * (config.val_tiles if held_out else config.tiles)

    def __len__(self) -> int:
        return len(self._tiles)

    def tile(self, index: int) -> Tile:
        """Draw it, or take the drawn one."""
        known = self._tiles[index]
        if known is None:
            known = self._tiles[index] = draw_tile(self._seed, index, self.size)
        return known


class Cropped(Patches):
    """Patches that cover the pictures of a folder; the last of a row is moved back inside."""

    def __init__(self, config: Config, pairs: Sequence[Pair], *, held_out: bool = False) -> None:
        super().__init__(config, augment=config.augment and not held_out)
        self._pairs, self._kept = pairs, max(1, config.cached_images)
        self._decoded: OrderedDict[int, Tile] = OrderedDict()
        self._places: list[tuple[int, int, int]] = []
        for number, pair in enumerate(pairs):
            width, height = _size_of(pair)
            starts = ((y, x) for y in corners(height, self.size) for x in corners(width, self.size))
            self._places += [(number, y, x) for y, x in starts]

    def __len__(self) -> int:
        return len(self._places)

    def group(self, index: int) -> str:
        """The city, by INRIA's file names."""
        return self._pairs[self._places[index][0]].group

    def tile(self, index: int) -> Tile:
        """Crop it out of its picture, which stays in memory for a while."""
        number, y, x = self._places[index]
        whole = self._decoded.pop(number, None) or _read(self._pairs[number], self.size)
        self._decoded[number] = whole
        while len(self._decoded) > self._kept:
            self._decoded.popitem(last=False)
        here = np.s_[y : y + self.size, x : x + self.size]
        return Tile(whole.image[here], whole.mask[here])


class Data(NamedTuple):
    """What is trained on, and what is held out."""

    train: Patches
    val: Patches
    source: tuple[Path, Split] | None = None  # a person's folder, and its pairs

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the folder is not used; it is walked for that."""
        return () if self.source is None else notes_of(*self.source)


def open_data(config: Config) -> Data:
    """Open the data that the settings name. Raises: SettingError; as ``read_folder``."""
    if config.size < SIDES or config.size % SIDES:
        raise errors.SettingError(
            "--size", f"{config.size} pixels", f"a multiple of {SIDES}",
            f"take {max(SIDES, round(config.size / SIDES) * SIDES)}",
        )  # fmt: skip
    if not config.data:
        return Data(Drawn(config), Drawn(config, held_out=True))
    root = Path(config.data)
    split = read_folder(root, seed=config.seed, val_fraction=config.val_fraction)
    parts = Cropped(config, split.train), Cropped(config, split.val, held_out=True)
    return Data(*parts, (root, split))


def train_loader(config: Config, data: Patches, place: Place) -> DataLoader[object]:
    """Shuffled batches; with several processes each gets its share of one order."""
    chosen: Dataset[object] = data
    if config.limit:
        chosen = torch.utils.data.Subset(chosen, range(min(config.limit, len(data))))
    return training_batches(chosen, config, place)


def val_loader(config: Config, data: Patches, place: Place) -> DataLoader[object]:
    """Batches in order, every patch once; with several processes each has every n-th."""
    return DataLoader(
        Telling(data), batch_size=config.batch_size, sampler=_EveryNth(len(data), place),
        num_workers=config.workers, persistent_workers=config.workers > 0,
        generator=torch.Generator().manual_seed(config.seed), collate_fn=TellingCollate(),
    )  # fmt: skip


class _EveryNth(Sampler[int]):
    """The share of one process, without the repeats with which torch's sampler evens it out."""

    def __init__(self, length: int, place: Place) -> None:
        self._numbers = range(place.rank, length, place.world)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)


# -- pixels ---------------------------------------------------------------------------------------


def normalised(image: torch.Tensor) -> torch.Tensor:
    """Shapes: (..., 3, H, W), values 0 to 1."""
    return (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def as_seen(image: torch.Tensor) -> torch.Tensor:
    """Undo ``normalised``."""
    shape = (3, 1, 1)
    return image.cpu() * torch.tensor(STD).view(shape) + torch.tensor(MEAN).view(shape)


def turned(image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn by quarters, mirror, and change the light, by torch's own stream."""
    quarters, mirror = torch.randint(4, ()).item(), torch.rand(()) < 0.5
    image, mask = (torch.rot90(one, int(quarters), (1, 2)) for one in (image, mask))
    if mirror:
        image, mask = image.flip(2), mask.flip(2)
    return (image * torch.empty(3, 1, 1).uniform_(0.85, 1.15)).clamp(0, 1), mask


def corners(length: int, size: int) -> list[int]:
    """Where patches begin that cover ``length`` pixels."""
    return [*range(0, max(1, length - size), size), max(0, length - size)][: -(-length // size)]


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3). Raises: as ``read_picture``."""
    return np.array(read_picture(path, upright=False))  # the mask lies as the pixels do


def _read(pair: Pair, size: int) -> Tile:
    image, mask = read_image(pair.image), read_mask(pair.mask)
    below, right = (max(0, size - side) for side in mask.shape)
    image = np.pad(image, ((0, below), (0, right), (0, 0)), "edge")
    return Tile(image, np.pad(mask, ((0, below), (0, right))))


def _size_of(pair: Pair) -> tuple[int, int]:
    with opened(pair.image) as image, opened(pair.mask) as mask:
        require_eight_bits(pair.image, image)
        if image.size != mask.size:
            raise errors.MismatchError(
                pair.mask, f"is {mask.size[0]} x {mask.size[1]} pixels",
                f"the size of {pair.image.name}, {image.size[0]} x {image.size[1]}",
                "make the mask anew from that image",
            )  # fmt: skip
        return image.size

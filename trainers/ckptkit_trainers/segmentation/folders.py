"""Pictures and masks of a data folder: which belong together, and which are held out.

Layouts: train/ and val/, each with images/ and masks/; images/ and masks/ alone, split by the
seed; and INRIA's, train/images and train/gt with tiles such as austin12.tif, of which the first
five of each city are held out, as its authors advise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ckptkit.plugin import errors
from ckptkit_trainers.engine.folder_files import left_out
from ckptkit_trainers.engine.held_out import by_lot
from ckptkit_trainers.engine.picture_file import ENDINGS, is_picture

IMAGE_NAMES = ("images", "imgs", "image")
MASK_NAMES = ("masks", "gt", "labels", "mask")
VAL_NAMES = ("val", "valid", "validation")
HELD_OUT_OF_A_CITY = 5  # the INRIA data set's own advice: tiles 1 to 5 validate
CITY = re.compile(r"([a-z_-]*[a-z])-?(\d+)", re.IGNORECASE)


class Pair(NamedTuple):
    """A picture and its mask. ``group`` is its city, where the names say one."""

    image: Path
    mask: Path
    group: str = ""


class Split(NamedTuple):
    """What to train on, and what is held out."""

    train: list[Pair]
    val: list[Pair]


def read_folder(root: Path, *, seed: int, val_fraction: float) -> Split:
    """Find the pairs of a data folder. Raises: NotFoundError, NoCheckpointError's kin, taught."""
    if not root.is_dir():
        raise errors.NotFoundError(
            root, "is no folder", "a folder with images/ and masks/", "look at --data"
        )
    held_out = next((root / name for name in VAL_NAMES if (root / name).is_dir()), None)
    if (root / "train").is_dir() and held_out is not None:
        return Split(_pairs(root / "train"), _pairs(held_out))
    home = root / "train" if (root / "train").is_dir() else root
    pairs = _pairs(home)
    if _child(home, MASK_NAMES).name == "gt" and all(_city(pair.image) for pair in pairs):
        return _by_city(pairs, home)
    return _by_seed(pairs, seed, val_fraction, home)


def notes_of(root: Path, split: Split) -> tuple[str, ...]:
    """Tell which files of a data folder are in no pair."""
    used = {path for pair in (*split.train, *split.val) for path in (pair.image, pair.mask)}
    return left_out(root, used.__contains__)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that lie in a folder, by name."""
    return sorted(one for one in folder.iterdir() if is_picture(one))


def _pairs(home: Path) -> list[Pair]:
    images, masks = _child(home, IMAGE_NAMES), _child(home, MASK_NAMES)
    known, pictures = _by_stem(masks), list(_by_stem(images).values())
    lonely = [one.name for one in pictures if _stem(one) not in known]
    if not pictures:
        raise errors.NotFoundError(
            images, "holds no picture", f"files that end in {', '.join(sorted(ENDINGS))}",
            "put the pictures there",
        )  # fmt: skip
    if lonely:
        raise errors.NotFoundError(
            masks, f"has no mask for {len(lonely)} of {len(pictures)} images ({lonely[0]}, ...)",
            f"a mask named as the image, {_stem(Path(lonely[0]))}.png or .tif",
            "add the masks, or take those images away",
        )  # fmt: skip
    named = [_city(one) for one in pictures] if masks.name == "gt" else [""] * len(pictures)
    return [Pair(one, known[_stem(one)], group) for one, group in zip(pictures, named, strict=True)]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Raises: ForeignFormatError for two pictures of which one mask would be both, or two masks."""
    known: dict[str, Path] = {}
    for path in pictures_in(folder):
        other = known.setdefault(_stem(path), path)
        if other is not path:
            raise errors.ForeignFormatError(
                path, f"is called as {other.name} beside it, but for its ending or its case",
                "one picture, and one mask, of a name", "rename one of them, or take it out",
            )  # fmt: skip
    return known


def _child(home: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (home / name).is_dir():
            return home / name
    seen = ", ".join(sorted(one.name for one in home.iterdir())[:8]) or "nothing"
    raise errors.NotFoundError(
        home, f"has no folder {' or '.join(names[:2])} (it holds {seen})",
        "images/ and masks/, or images/ and gt/, here or below train/ and val/",
        "name the folder that holds them with --data",
    )  # fmt: skip


def _stem(path: Path) -> str:
    """A picture's name without ending and without what marks a mask as one."""
    return re.sub(r"[_-](mask|label|gt)$", "", path.stem.lower())


def _city(image: Path) -> str:
    match = CITY.fullmatch(image.stem)
    return match.group(1).lower() if match else ""


def _by_city(pairs: list[Pair], home: Path) -> Split:
    numbered = [(int(CITY.fullmatch(p.image.stem).group(2)), p) for p in pairs]  # type: ignore[union-attr]
    train = [pair for number, pair in numbered if number > HELD_OUT_OF_A_CITY]
    val = [pair for number, pair in numbered if number <= HELD_OUT_OF_A_CITY]
    return _checked(Split(train, val), home, "tiles 1 to 5 of each city are held out")


def _by_seed(pairs: list[Pair], seed: int, fraction: float, home: Path) -> Split:
    (chosen,) = by_lot((pair.image.name for pair in pairs), fraction, salt=f"{seed} ")
    parts: tuple[list[Pair], list[Pair]] = ([], [])
    for pair in pairs:
        parts[pair.image.name in chosen].append(pair)
    split = Split(*parts)
    return _checked(split, home, f"{len(chosen)} of {len(pairs)} images are held out")


def _checked(split: Split, home: Path, how: str) -> Split:
    if split.train and split.val:
        return split
    raise errors.NotFoundError(
        home, f"leaves {len(split.train)} images to train on and {len(split.val)} to validate "
        f"with: {how}", "at least one of each",
        "add images, or make train/ and val/ yourself",
    )  # fmt: skip

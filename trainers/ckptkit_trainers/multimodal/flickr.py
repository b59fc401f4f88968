"""A folder in Flickr8k's layout: images, captions, split files, and spoken captions if wanted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from ckptkit.plugin import errors
from ckptkit_trainers.engine.held_out import by_lot
from ckptkit_trainers.engine.picture_file import is_picture, read_picture
from ckptkit_trainers.engine.text_file import lines_of
from ckptkit_trainers.multimodal.captions import CAPTION_FILES, Caption, read_captions
from ckptkit_trainers.multimodal.source import Pair
from ckptkit_trainers.multimodal.wav import read_wav

IMAGE_FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset")
SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
TEXT_FOLDERS = ("", "Flickr8k_text")
SOUND_FOLDERS = ("wavs", "flickr_audio/wavs")
LEAST = 3  # images of which a split is drawn
HELD_OUT = 1 / 8  # of the images in val, and in test: Flickr8k's own proportion
LAYOUT = (
    f"one of {', '.join(IMAGE_FOLDERS)}, and beside it one of {', '.join(CAPTION_FILES)} "
    "(Flickr8k's layout)"
)


class Flickr:
    """Photographs with several captions each. Raises: NotFoundError, where something lacks."""

    def __init__(self, folder: str | os.PathLike[str], *, audio: bool = False) -> None:
        self._folder = Path(folder)
        self.title = f"{self._folder.name}: images and captions"
        self._images = _first_folder(self._folder)
        captions = read_captions(_first_file(self._folder, CAPTION_FILES))
        there = {path.name for path in self._images.iterdir() if is_picture(path)}
        known = [one for one in captions if one.image in there]
        silent = there.difference(one.image for one in captions)
        self.notes: Sequence[str] = (
            *_lost(len(captions) - len(known), "captions have no image"),
            *_lost(len(silent), "images have no caption"),
        )
        self._sounds = _sounds(self._folder) if audio else {}
        if audio:
            heard = [one for one in known if _spoken(one.key) in self._sounds]
            self.notes = (*self.notes, *_lost(len(known) - len(heard), "captions have no sound"))
            known = heard
        self._files = sorted({one.image for one in known})
        self.splits: Mapping[str, Sequence[Pair]] = self._split(known)
        self._require(len(captions))

    def _require(self, n_captions: int) -> None:
        """Refuse what nobody could train on, or measure by."""
        if not self._files:
            raise errors.NotFoundError(
                self._images, f"none of {n_captions} captions belongs to an image here",
                LAYOUT, "look at the names of the images in the captions file",
            )  # fmt: skip
        if not _splits(self._folder) and len(self._files) < LEAST:
            raise errors.NotFoundError(
                self._images, f"holds {len(self._files)} images with a caption",
                f"{LEAST} at least: some to train on, some held out for val and test",
                "bring more, or name the images of each split in "
                f"{', '.join(SPLIT_FILES.values())}",
            )  # fmt: skip
        empty = [SPLIT_FILES[name] for name in ("train", "val") if not self.splits[name]]
        if empty:
            raise errors.NotFoundError(
                self._folder, f"no caption is in the split of {empty[0]}",
                f"all of {', '.join(SPLIT_FILES.values())}, or none of them",
                "without these files pictures are held out by lot",
            )  # fmt: skip

    def _split(self, captions: Iterable[Caption]) -> dict[str, list[Pair]]:
        split_of = _splits(self._folder) or _drawn(self._files)
        number = {name: i for i, name in enumerate(self._files)}
        splits: dict[str, list[Pair]] = {"train": [], "val": [], "test": []}
        outside = 0
        for one in captions:
            split = split_of.get(one.image)
            if split is None:
                outside += 1
                continue
            sound = self._sounds.get(_spoken(one.key), "")
            splits[split].append(Pair(one.image, one.text, number[one.image], sound))
        self.notes = (*self.notes, *_lost(outside, "captions are in none of the splits"))
        return splits

    def picture(self, pair: Pair, side: int) -> Image.Image:  # noqa: ARG002  photographs are given
        """Open a photograph. Raises: as ``read_picture``."""
        return read_picture(self._images / pair.name)

    def sound(self, pair: Pair, rate: int) -> torch.Tensor:
        """Read a spoken caption."""
        return read_wav(Path(pair.sound), rate)


def _first_folder(folder: Path) -> Path:
    for name in IMAGE_FOLDERS:
        if (folder / name).is_dir():
            inner = folder / name / name  # the archive of the original holds its folder twice
            return inner if inner.is_dir() else folder / name
    seen = (
        "is no folder"
        if not folder.is_dir()
        else f"has no folder of images; it holds {_told(folder)}"
    )
    raise errors.NotFoundError(
        folder,
        seen,
        LAYOUT,
        "name the folder that holds them with --data; of a finished training, --set data=FOLDER",
    )


def _first_file(folder: Path, names: Iterable[str]) -> Path:
    for above in TEXT_FOLDERS:
        for name in names:
            if (folder / above / name).is_file():
                return folder / above / name
    raise errors.NotFoundError(
        folder, f"has no captions; it holds {_told(folder)}", LAYOUT,
        "put the captions file beside the images' folder",
    )  # fmt: skip


def _told(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"


def _splits(folder: Path) -> dict[str, str]:
    """The split of each image, as the files say; empty where there is none of them."""
    found: dict[str, str] = {}
    for split, name in SPLIT_FILES.items():
        for above in TEXT_FOLDERS:
            path = folder / above / name
            if path.is_file():
                lines = lines_of(path)
                found |= {line.strip(): split for line in lines if line.strip()}
    return found


def _drawn(files: Sequence[str]) -> dict[str, str]:
    """A split by lot, the same for ever for the same names."""
    test, val = by_lot(files, HELD_OUT, HELD_OUT)
    return {name: "test" if name in test else "val" if name in val else "train" for name in files}


def _sounds(folder: Path) -> dict[str, str]:
    """Name -> wav, as Flickr Audio Captions names them: IMAGE_NUMBER.wav."""
    for name in SOUND_FOLDERS:
        if (folder / name).is_dir():
            wavs = (
                path for path in sorted((folder / name).iterdir()) if path.suffix.lower() == ".wav"
            )
            return {path.stem: str(path) for path in wavs}
    raise errors.NotFoundError(
        folder, f"has no spoken captions; it holds {_told(folder)}",
        f"one of {', '.join(SOUND_FOLDERS)} with IMAGE_NUMBER.wav (Flickr Audio Captions)",
        "train without --audio, and switch it on when they are there",
    )  # fmt: skip


def _spoken(key: str) -> str:
    """How the sound of the caption "IMAGE#NUMBER" is called."""
    image, _, number = key.rpartition("#")
    return f"{Path(image).stem}_{number}"


def _lost(count: int, what: str) -> tuple[str, ...]:
    return (f"{count} {what}: left out",) if count else ()

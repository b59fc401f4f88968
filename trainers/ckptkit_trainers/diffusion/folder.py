"""A folder of GIFs with captions: the layout of a real data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import torch

from ckptkit.plugin import errors
from ckptkit_trainers.diffusion.gifs import read_gif
from ckptkit_trainers.engine.folder_files import files_below, left_out
from ckptkit_trainers.engine.held_out import by_lot
from ckptkit_trainers.engine.text_file import csv_rows, read_text

CAPTIONS = "captions.csv"
HELD_OUT = 0.1  # of the clips: never trained on
LAYOUT = f"GIFs, with {CAPTIONS} (two columns: file, caption) or NAME.txt beside each NAME.gif"


class Captioned(NamedTuple):
    """One GIF and what it shows."""

    path: Path
    caption: str


class Shape(NamedTuple):
    """What every clip is brought to."""

    frames: int
    size: int
    color: bool


class GifFolder:
    """The clips of a folder, read when they are asked for. An item is (clip, caption)."""

    def __init__(self, pairs: list[Captioned], shape: Shape) -> None:
        self.pairs, self.shape = pairs, shape

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, str]:
        path, caption = self.pairs[index]
        return read_gif(path, **self.shape._asdict()), caption


def read_folder(folder: Path, shape: Shape) -> tuple[GifFolder, GifFolder]:
    """Find the clips to train on and those that are held out, by the digests of their names.

    Raises: NotFoundError, NoCheckpointError's kin: what was looked for is in the message.
    """
    if not folder.is_dir():
        raise errors.NotFoundError(
            folder,
            "is no folder",
            LAYOUT,
            "name the folder of your GIFs with --data; of a finished training, --set data=FOLDER",
        )
    listed = folder / CAPTIONS
    pairs = _from_list(listed) if listed.is_file() else _from_neighbours(folder)
    names = {_name_of(pair, folder) for pair in pairs}  # a GIF may have several captions
    if len(names) < 2:
        raise errors.NotFoundError(
            folder, f"has {len(names)} GIFs with a caption", f"two or more; {LAYOUT}"
        )
    (held_out,) = by_lot(names, HELD_OUT)
    parts: tuple[list[Captioned], list[Captioned]] = ([], [])
    for pair in pairs:
        parts[_name_of(pair, folder) in held_out].append(pair)
    return GifFolder(parts[0], shape), GifFolder(sorted(parts[1]), shape)


def _name_of(pair: Captioned, folder: Path) -> str:
    return Path(os.path.relpath(pair.path, folder)).as_posix()


def _from_list(listed: Path) -> list[Captioned]:
    pairs = []
    for number, row in enumerate(csv_rows(listed), 1):
        if not row or (number == 1 and not row[0].strip().lower().endswith(".gif")):
            continue  # an empty line, or the names of the columns
        pairs.append(_pair_of(listed, number, row))
    return pairs


def _pair_of(listed: Path, number: int, row: list[str]) -> Captioned:
    where = f"{listed}, line {number}"
    if len(row) == 2 and not row[1].strip():
        raise errors.UnknownFormatError(
            where, f"has no caption for {row[0].strip()}", "what the GIF shows",
            "write it, or take the line out",
        )  # fmt: skip
    if len(row) != 2:
        raise errors.UnknownFormatError(
            where, f"has {len(row)} columns", "a file and its caption", "quote captions with commas"
        )
    path = listed.parent / row[0].strip()
    if not path.is_file():
        raise errors.NotFoundError(where, f"there is no {row[0]}", "a GIF of this folder")
    return Captioned(path, row[1].strip())


def _from_neighbours(folder: Path) -> list[Captioned]:
    """Pair every GIF with the text beside it."""
    pairs = []
    for path in files_below(folder):
        if path.suffix.lower() != ".gif":
            continue
        text = path.with_suffix(".txt")
        if not text.is_file():
            raise errors.NotFoundError(
                text, "is not there", f"the caption of {path.name}; {LAYOUT}"
            )
        caption = read_text(text).strip()
        if not caption:
            raise errors.UnknownFormatError(
                text, "is empty", f"what {path.name} shows", "write it, or take both files out"
            )
        pairs.append(Captioned(path, caption))
    return pairs


def notes_of(folder: Path, *parts: GifFolder) -> tuple[str, ...]:
    """Tell which files of a folder are no clips, nor captions of them."""
    clips = {pair.path for part in parts for pair in part.pairs}
    used = {*clips, *(path.with_suffix(".txt") for path in clips), folder / CAPTIONS}
    return left_out(folder, used.__contains__)

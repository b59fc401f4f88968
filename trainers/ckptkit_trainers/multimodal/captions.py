"""Captions files: captions.txt (CSV with a header) and Flickr8k.token.txt (tabs)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ckptkit.plugin import errors
from ckptkit_trainers.engine.text_file import csv_rows, lines_of

CAPTION_FILES = ("captions.txt", "Flickr8k.token.txt")


class Caption(NamedTuple):
    """One line. ``key`` is "IMAGE#NUMBER", by which spoken captions are named, too."""

    image: str
    key: str
    text: str


def read_captions(path: Path) -> list[Caption]:
    """Read either form. Raises: UnknownFormatError with the line that is none."""
    lines = lines_of(path)
    tabbed = bool(lines) and "\t" in lines[0]
    found = _tabbed(path, lines) if tabbed else _comma_separated(path)
    if not found:
        raise _wrong(path, "holds no caption")
    return found


def _tabbed(path: Path, lines: list[str]) -> list[Caption]:
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key, tab, text = line.partition("\t")
        image, mark, _ = key.partition("#")
        if not (tab and mark and text.strip()):
            raise _wrong(path, f"line {number} is {line[:60]!r}")
        found.append(Caption(image, key, text.strip()))
    return found


def _comma_separated(path: Path) -> list[Caption]:
    found = []
    counted: Counter[str] = Counter()
    for number, row in enumerate(csv_rows(path), 1):
        if not row or (number == 1 and row[0].strip() == "image"):
            continue
        image, text = row[0].strip(), ",".join(row[1:]).strip()  # of captions that are not quoted
        if not (image and text):
            raise _wrong(path, f"line {number} is {','.join(row)[:60]!r}")
        found.append(Caption(image, f"{image}#{counted[image]}", text))
        counted[image] += 1
    return found


def _wrong(path: Path, seen: str) -> errors.UnknownFormatError:
    return errors.UnknownFormatError(
        path, seen, 'lines "image,caption", or "image#number<TAB>caption"', "mend that line"
    )

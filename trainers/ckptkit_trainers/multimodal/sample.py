"""``ckptkit sample``: what a caption or a picture finds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ckptkit.plugin import errors
from ckptkit_trainers.engine.out import open_out
from ckptkit_trainers.engine.picture_file import read_picture
from ckptkit_trainers.engine.pictures import save_picture
from ckptkit_trainers.engine.settings import check_settings
from ckptkit_trainers.multimodal.config import Config, SampleOptions
from ckptkit_trainers.multimodal.data import as_tensor, val_loader
from ckptkit_trainers.multimodal.embed import embed_all
from ckptkit_trainers.multimodal.finished import Finished, finished
from ckptkit_trainers.multimodal.sheet import Tile, draw_sheet
from ckptkit_trainers.multimodal.source import Pair


def sample(checkpoint: Path, config: Config, options: SampleOptions) -> dict[str, Any]:
    """Search the pairs for a caption or a picture; write a sheet and its JSON beside it.

    Raises: SettingError where nothing or both is asked for; InputError for what is no picture.
    """
    check_settings(options)
    if bool(options.text) == bool(options.image):
        raise errors.SettingError(
            "sample",
            "was asked for both" if options.text else "was asked for nothing",
            "--text CAPTION or --image FILE",
            'for example --text "GREEK SMALL LETTER ALPHA"',
        )
    picture = read_picture(Path(options.image)) if options.image else None
    with finished(checkpoint, config, device=options.device) as asked:
        query = _text(asked, options.text) if picture is None else _image(asked, picture)
        pairs, splits = _gallery(asked, options.among)
        found = _nearest(asked, query, pairs, options, splits)
        question = options.text or f"picture {Path(options.image).name}"
        told = {**asked.told, "query": question, "among": options.among, "found": found}
        with open_out(options.out, checkpoint) as folder:
            return told | _written(asked, question, found, pairs, folder)


def _text(asked: Finished, text: str) -> torch.Tensor:
    numbers = torch.tensor([asked.words.numbers(text)], device=asked.place.device)
    return _view(asked, {"text": numbers})["text"]


def _image(asked: Finished, picture: Image.Image) -> torch.Tensor:
    pixels = as_tensor(picture, asked.config.image_size)[None].to(asked.place.device)
    return _view(asked, {"image": pixels})["image"]


@torch.no_grad()
def _view(asked: Finished, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    with asked.place.autocast():
        views = asked.brain.embed(batch)
    return {name: view.float().cpu() for name, view in views.items()}


def _gallery(asked: Finished, among: str) -> tuple[list[Pair], list[str]]:
    names = [name for name in asked.source.splits if among in ("all", name)]
    pairs = [pair for name in names for pair in asked.source.splits[name]]
    splits = [name for name in names for _ in asked.source.splits[name]]
    return pairs, splits


def _nearest(
    asked: Finished, query: torch.Tensor, pairs: list[Pair], options: SampleOptions,
    splits: list[str],
) -> list[dict[str, Any]]:  # fmt: skip
    """The best of the other modality, each picture or caption once."""
    loader = val_loader(asked.pairs(pairs), asked.config)
    shown = asked.config.progress
    points = embed_all(asked.brain, loader, asked.place, "searching", shown=shown)
    likeness = points.views["image" if options.text else "text"] @ query[0]
    found: dict[object, dict[str, Any]] = {}
    for place in likeness.argsort(descending=True, stable=True).tolist():
        pair = pairs[place]
        key = pair.image if options.text else pair.caption
        row = {"score": round(float(likeness[place]), 4), "caption": pair.caption,
               "name": pair.name, "split": splits[place], "at": place}  # fmt: skip
        found.setdefault(key, row)
        if len(found) >= options.top:
            break
    return [{"rank": rank, **row} for rank, row in enumerate(found.values(), 1)]


def _written(
    asked: Finished, question: str, found: list[dict[str, Any]], pairs: list[Pair], folder: Path
) -> dict[str, str]:
    """Write the sheet and the JSON; name them after the question."""
    shown = asked.pairs(pairs)
    places = [row.pop("at") for row in found]
    tiles = [
        Tile(
            shown.shown(pairs[place]),
            f"{row['score']:.2f} {row['caption']}",
            right=row["caption"] == question,
        )
        for place, row in zip(places, found, strict=True)
    ]
    name = re.sub(r"[^a-z0-9]+", "_", question.lower()).strip("_")[:60] or "query"
    sheet, rows = folder / f"{name}.png", folder / f"{name}.json"
    save_picture(draw_sheet([(question, tiles)]), sheet)
    content = {**asked.told, "query": question, "found": found}
    rows.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return {"sheet": str(sheet), "json": str(rows)}

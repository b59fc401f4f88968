"""``ckptkit sample``: clips are drawn from captions and written as GIFs."""

from __future__ import annotations

import logging
import re
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from ckptkit.plugin import errors
from ckptkit_trainers.diffusion.config import Config, SampleOptions
from ckptkit_trainers.diffusion.data import read_data
from ckptkit_trainers.diffusion.draw import Painter, Way, draw, save_sheet
from ckptkit_trainers.diffusion.gifs import write_gif
from ckptkit_trainers.diffusion.noise import check_steps
from ckptkit_trainers.diffusion.opened import open_painter
from ckptkit_trainers.diffusion.prompts import prompts_in, prompts_of
from ckptkit_trainers.diffusion.words import OwnWords
from ckptkit_trainers.engine.out import open_out
from ckptkit_trainers.engine.settings import check_settings

log = logging.getLogger(__name__)


def sample(checkpoint: Path, config: Config, options: SampleOptions) -> dict[str, Any]:
    """Write one GIF for each clip, and a contact sheet of all; tell which checkpoint drew them.

    The captions are taken in turn until there are ``num_samples`` clips.
    Raises: SettingError for a word that the model never read; as ``ckptkit.restore``.
    """
    check_settings(options)
    check_steps("steps", options.steps, config)
    opened = open_painter(checkpoint, config, weights=options.weights, device=options.device)
    log.info("checkpoint of epoch %s, step %s", opened.epoch, opened.step)
    asked = prompts_in(options.prompt or config.prompts)
    prompts = asked or prompts_of(config, read_data(config).held_out)
    captions = list(islice(cycle(prompts), options.num_samples))
    if options.prompt:  # held-out captions have words of their own, too
        _know(opened.painter, captions)
    way = Way(options.steps, options.guidance, options.seed)
    written = []
    with open_out(options.out, checkpoint) as out:
        clips = draw(opened.painter, captions, config, way)
        for number, (caption, clip) in enumerate(zip(captions, clips, strict=True), 1):
            path = out / f"{number:03d}_{_as_name(caption)}.gif"
            write_gif(clip, path, scale=options.scale)
            written.append({"prompt": caption, "gif": path.name})
        save_sheet(clips, out / "sheet.png")
    return {**opened.told(), "out": str(out), "clips": written, "sheet": str(out / "sheet.png")}


def _know(painter: Painter, captions: list[str]) -> None:
    """Refuse words that were not in any caption: the model would draw something at random."""
    if not isinstance(painter.tokens, OwnWords):
        return
    unknown = [word for caption in captions for word in painter.tokens.unknown(caption)]
    if unknown:
        known = ", ".join(painter.tokens.names["words"][:30])
        raise errors.SettingError(
            "prompt", f"{', '.join(dict.fromkeys(unknown))}: not in any caption of the training",
            f"words that are: {known}",
        )  # fmt: skip


def _as_name(caption: str) -> str:
    """Return what of a caption can be part of a file's name."""
    return re.sub(r"[^\w-]+", "_", caption.lower()).strip("_")[:60] or "empty"

"""``ckptkit sample``: clips are drawn from captions and written as GIFs."""

from __future__ import annotations

import logging
import re
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from ckptkit_trainers.diffusion.config import Config, SampleOptions
from ckptkit_trainers.diffusion.data import read_data
from ckptkit_trainers.diffusion.draw import Way, draw, save_sheet
from ckptkit_trainers.diffusion.gifs import write_gif
from ckptkit_trainers.diffusion.noise import check_steps
from ckptkit_trainers.diffusion.opened import open_painter
from ckptkit_trainers.diffusion.prompts import prompts_in, prompts_of, require_known
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
    require_known(opened.painter.tokens, asked)  # held-out captions have words of their own, too
    prompts = asked or prompts_of(config, read_data(config).held_out)
    captions = list(islice(cycle(prompts), options.num_samples))
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


def _as_name(caption: str) -> str:
    """Return what of a caption can be part of a file's name."""
    return re.sub(r"[^\w-]+", "_", caption.lower()).strip("_")[:60] or "empty"

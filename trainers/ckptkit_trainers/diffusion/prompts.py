"""Prompts: the captions that are drawn."""

from __future__ import annotations

from ckptkit_trainers.diffusion.config import PROMPTS, Config
from ckptkit_trainers.diffusion.data import Clips
from ckptkit_trainers.diffusion.folder import GifFolder

AT_MOST = 4  # captions that are drawn where none was asked for


def prompts_in(text: str) -> list[str]:
    """Return the captions that semicolons part."""
    return [one.strip() for one in text.split(";") if one.strip()]


def prompts_of(config: Config, held_out: Clips) -> list[str]:
    """Return what is drawn while training; where nothing was asked for, what the data shows."""
    if asked := prompts_in(config.prompts):
        return asked
    if not isinstance(held_out, GifFolder):
        return prompts_in(PROMPTS)
    return list(dict.fromkeys(pair.caption for pair in held_out.pairs))[:AT_MOST]

"""Prompts: the captions that are drawn."""

from __future__ import annotations

from ckptkit.plugin import errors
from ckptkit_trainers.diffusion.config import PROMPTS, Config
from ckptkit_trainers.diffusion.data import Clips
from ckptkit_trainers.diffusion.folder import GifFolder
from ckptkit_trainers.diffusion.words import OwnWords, Tokens

SHOWN = 30  # words in a message
AT_MOST = 4  # captions that are drawn where none was asked for


def prompts_in(text: str) -> list[str]:
    """Return the captions that semicolons part."""
    return [one.strip() for one in text.split(";") if one.strip()]


def require_known(tokens: Tokens, captions: list[str]) -> None:
    """Refuse words that have no number: the model would draw something at random.

    Raises: SettingError, which names words that have one.
    """
    if isinstance(tokens, OwnWords) and (unknown := unknown_in(tokens, captions)):
        known = ", ".join(tokens.names["words"][:SHOWN])
        raise errors.SettingError(
            "--prompt", f"{', '.join(unknown)}: not among the words that the model knows",
            f"words that are: {known}",
        )  # fmt: skip


def unknown_in(tokens: Tokens, captions: list[str]) -> list[str]:
    """Return the words of captions that have no number, each once."""
    if not isinstance(tokens, OwnWords):
        return []
    return list(dict.fromkeys(word for one in captions for word in tokens.unknown(one)))


def prompts_of(config: Config, held_out: Clips) -> list[str]:
    """Return what is drawn while training; where nothing was asked for, what the data shows."""
    if asked := prompts_in(config.prompts):
        return asked
    if not isinstance(held_out, GifFolder):
        return prompts_in(PROMPTS)
    return list(dict.fromkeys(pair.caption for pair in held_out.pairs))[:AT_MOST]

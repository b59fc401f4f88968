"""What a checkpoint needs beside weights, so that it stands alone: encoders and tokenizer."""

from __future__ import annotations

from ckptkit.plugin import errors
from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.encoders import described
from ckptkit_trainers.multimodal.source import Source
from ckptkit_trainers.multimodal.words import learn_words, tokenizer_of, words_of


def parts_of(config: Config, source: Source) -> dict[str, str]:
    """Describe the encoders, and learn the words, or take those of the pretrained reader.

    Raises: SettingError where the captions have more letters than the vocabulary has room for.
    """
    if config.text_from:
        tokenizer = words_of(config.text_from)
    else:
        captions = [pair.caption for pair in source.splits["train"]]
        tokenizer = learn_words(captions, config.vocabulary)
        n_pieces = tokenizer_of(tokenizer).get_vocab_size()
        if n_pieces > config.vocabulary:
            raise errors.SettingError(
                "vocabulary", f"{config.vocabulary} pieces",
                f"{n_pieces} or more: so many letters and marks the captions have",
            )  # fmt: skip
    return {**described(config), "tokenizer": tokenizer}

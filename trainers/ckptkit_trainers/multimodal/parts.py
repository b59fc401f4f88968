"""What a checkpoint needs beside weights, so that it stands alone: encoders and tokenizer."""

from __future__ import annotations

from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.encoders import described
from ckptkit_trainers.multimodal.source import Source
from ckptkit_trainers.multimodal.words import learn_words, words_of


def parts_of(config: Config, source: Source) -> dict[str, str]:
    """Describe the encoders, and learn the words, or take those of the pretrained reader."""
    if config.text_from:
        tokenizer = words_of(config.text_from)
    else:
        captions = [pair.caption for pair in source.splits["train"]]
        tokenizer = learn_words(captions, config.vocabulary)
    return {**described(config), "tokenizer": tokenizer}

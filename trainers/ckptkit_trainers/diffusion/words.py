"""Captions as numbers: a vocabulary of whole words that the checkpoint keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch

from ckptkit_trainers.engine.hub_folder import require_file

_SHOWN = 5  # words in a message
MARKS = ("[PAD]", "[BEGIN]", "[END]", "[UNKNOWN]")


class Tokens(Protocol):
    """What turns captions into numbers. Shapes: (captions, length)."""

    def __call__(self, captions: Sequence[str]) -> torch.Tensor:
        """Return the numbers of the captions, each cut or filled to the same length."""


class OwnWords:
    """Numbers of a fixed list of words; what is not in it is unknown.

    ``names`` is plain data that belongs into the run's state, so that a number means the same
    word for as long as the weights live.
    """

    def __init__(self, words: Iterable[str], *, most: int, length: int) -> None:
        """``most``: rows of the table of words; ``length``: numbers of a caption."""
        self.most, self.length = most, length
        self.names: dict[str, Any] = {"words": []}
        self.learn(words)

    def learn(self, words: Iterable[str]) -> None:
        """Take in words that are not known yet, behind those that are, as far as there is room."""
        known = self.names["words"]
        new = [word for word in dict.fromkeys(words) if word not in set(known)]
        self.names["words"] = [*known, *new][: self.most - len(MARKS)]

    def unknown(self, caption: str) -> list[str]:
        """Return the words of a caption that have no number."""
        return [word for word in split(caption) if word not in self.names["words"]]

    def notes(self, captions: Sequence[str]) -> tuple[str, ...]:
        """Tell what of some captions is lost: words without a number, and captions that are cut."""
        parted = [split(caption) for caption in captions]
        words = {word for parts in parted for word in parts}
        lost = sorted(words.difference(self.names["words"]))
        room = self.length - 2  # a begin and an end are around them
        cut = sum(len(parts) > room for parts in parted)
        told = []
        if lost:
            some = ", ".join(lost[:_SHOWN]) + (", ..." if len(lost) > _SHOWN else "")
            told.append(f"{len(lost)} of {len(words)} words have no number ({some}): --vocabulary "
                        f"{self.most} has room for {self.most - len(MARKS)}")  # fmt: skip
        if cut:
            told.append(f"{cut} of {len(captions)} captions are cut behind {room} words: "
                        f"--caption-length {self.length} counts their begin and end")  # fmt: skip
        return tuple(told)

    def __call__(self, captions: Sequence[str]) -> torch.Tensor:
        """Number the words."""
        tokenizer = _tokenizer((*MARKS, *self.names["words"]), self.length)
        rows = [encoding.ids for encoding in tokenizer.encode_batch([*captions])]
        return torch.tensor(rows, dtype=torch.long)


class PretrainedTokens:
    """The tokenizer that lies in the folder of a pretrained text encoder."""

    def __init__(self, folder: Path, *, length: int) -> None:
        """Open it. Raises: NotFoundError if the folder has no tokenizer."""
        from transformers import AutoTokenizer

        require_file(folder, "tokenizer_config.json", "--text")
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._length = length

    def there(self, numbers: torch.Tensor) -> torch.Tensor:
        """Tell words from padding. Shapes: as ``numbers``.

        Where the mark of the end pads too, as in CLIP, the encoder was trained to read it all.
        """
        own = self._tokenizer
        if own.pad_token_id is None or own.pad_token_id == own.eos_token_id:
            return torch.ones_like(numbers)
        there: torch.Tensor = (numbers != own.pad_token_id).long()
        return there

    def __call__(self, captions: Sequence[str]) -> torch.Tensor:
        """Number what the tokenizer makes of them."""
        options = {"padding": "max_length", "truncation": True, "max_length": self._length}
        given: Mapping[str, Any] = self._tokenizer([*captions], return_tensors="pt", **options)
        numbers: torch.Tensor = given["input_ids"]
        return numbers


def split(caption: str) -> list[str]:
    """Return the words of a caption, as the tokenizer parts them."""
    parts = _tokenizer(MARKS, 2).pre_tokenizer.pre_tokenize_str(caption.lower())
    return [word for word, _ in parts]


@lru_cache(maxsize=8)
def _tokenizer(names: tuple[str, ...], length: int) -> Any:
    """Make the tokenizer of these words, which puts a begin and an end around a caption."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    numbers = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(WordLevel(numbers, unk_token="[UNKNOWN]"))  # noqa: S106  no password
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[BEGIN] $A [END]",
        special_tokens=[(mark, numbers[mark]) for mark in ("[BEGIN]", "[END]")],
    )
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=0, pad_token="[PAD]")  # noqa: S106
    return tokenizer

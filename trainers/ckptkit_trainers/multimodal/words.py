"""The tokenizer: pieces of words, learned from the captions that are trained on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from ckptkit_trainers.engine.hub_folder import require_file

PAD, UNKNOWN, HIDDEN, START = "[PAD]", "[UNK]", "[MASK]", "[CLS]"
SPECIAL = [PAD, UNKNOWN, HIDDEN, START]


def learn_words(captions: Iterable[str], size: int) -> str:
    """Learn at most ``size`` pieces by BPE; return the tokenizer as JSON.

    The same captions give the same pieces.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    learner = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(captions, learner)
    text: str = tokenizer.to_str()
    return text


def words_of(folder: str) -> str:
    """Return the tokenizer of a pretrained text encoder as JSON. Raises: NotFoundError."""
    if Path(folder, "tokenizer.json").is_file():
        text: str = Tokenizer.from_file(str(Path(folder, "tokenizer.json"))).to_str()
        return text
    require_file(Path(folder), "tokenizer_config.json", "--text-from")
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    made: str = opened.backend_tokenizer.to_str()
    return made


@lru_cache(maxsize=4)
def tokenizer_of(text: str) -> Tokenizer:
    """Make a tokenizer of its JSON; it cuts and pads nothing by itself."""
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class Words:
    """Captions as numbers. ``parts`` holds the tokenizer's JSON: a resume may replace it."""

    def __init__(self, parts: dict[str, str], length: int) -> None:
        self._parts, self.length = parts, length

    @property
    def _tokenizer(self) -> Tokenizer:
        return tokenizer_of(self._parts["tokenizer"])

    def _special(self, *names: str) -> int:
        found = (self._tokenizer.token_to_id(name) for name in names)
        return next((number for number in found if number is not None), 0)

    @property
    def pad(self) -> int:
        """What fills a short caption up."""
        return self._special(PAD, "<pad>", "<|endoftext|>")

    @property
    def hidden(self) -> int:
        """What stands for a word that is to be guessed."""
        return self._special(HIDDEN, "<mask>", UNKNOWN, "<unk>", "<|endoftext|>")

    def numbers(self, caption: str) -> list[int]:
        """Return a caption's pieces, at most ``length``, the first a mark of its start."""
        numbers: list[int] = self._tokenizer.encode(caption).ids
        start = self._tokenizer.token_to_id(START)
        if start is not None and numbers[:1] != [start]:
            numbers = [start, *numbers]
        return numbers[: self.length]

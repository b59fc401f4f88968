"""Pairs as tensors: a dataset whose every draw belongs to its sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset, default_collate

from ckptkit_trainers.engine.telling import Telling, TellingCollate
from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.source import Pair, Source
from ckptkit_trainers.multimodal.words import Words

OVER = 2  # pictures are moved at so many times their size, then reduced: no jagged edges
SHIFT, SCALE, DEGREES = 0.08, 0.15, 6.0  # of augmentation at strength 1
HIDDEN_SHARE = 0.3  # of a caption's pieces are to be guessed
VAL_BATCH = 100  # pairs that are told apart in val_loss; batch_size must not change what it means

Item = dict[str, torch.Tensor]


class Pairs(Dataset[Item]):
    """Shapes of an item: image [3, S, S] from 0 to 1; text, hidden [W]; number []; sound [N]."""

    def __init__(
        self, source: Source, pairs: Sequence[Pair], config: Config, words: Words, *, moved: bool
    ) -> None:
        self._source, self.pairs, self._config, self.words = source, pairs, config, words
        self._strength = config.augment if moved else 0.0

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Item:
        pair = self.pairs[index]
        numbers = self.words.numbers(pair.caption)
        text = _filled(numbers, self.words.length, self.words.pad)
        item = {
            "image": self.picture(pair), "text": text, "number": torch.tensor(pair.image),
            "hidden": self._hide(text, len(numbers)),
        }  # fmt: skip
        return item | {"sound": self._sound(pair)} if self._config.audio else item

    def picture(self, pair: Pair) -> torch.Tensor:
        """Return a picture as the encoder gets it, moved a little if this is training data."""
        side = OVER * self._config.image_size
        return as_tensor(self._source.picture(pair, side), self._config.image_size, self._strength)

    def shown(self, pair: Pair) -> Image.Image:
        """Return a picture for a person."""
        side = max(128, OVER * self._config.image_size)
        return ImageOps.fit(self._source.picture(pair, side), (side, side))

    def _hide(self, text: torch.Tensor, n_words: int) -> torch.Tensor:
        """Hide some words, at least one, never the mark of the start."""
        if self._strength == 0 or n_words < 2:
            return text
        chosen = torch.rand(n_words - 1) < HIDDEN_SHARE
        chosen[int(torch.randint(n_words - 1, ()))] = True
        hidden = text.clone()
        hidden[1:n_words][chosen] = self.words.hidden
        return hidden

    def _sound(self, pair: Pair) -> torch.Tensor:
        config = self._config
        length = round(config.sound_rate * config.sound_seconds)
        sound = self._source.sound(pair, config.sound_rate)[:length]
        filled = torch.zeros(length)
        filled[: len(sound)] = sound
        if self._strength:
            filled += 0.02 * torch.randn(length) * torch.rand(())
        return filled


def _filled(numbers: Sequence[int], length: int, pad: int) -> torch.Tensor:
    text = torch.full((length,), pad)
    text[: len(numbers)] = torch.tensor(numbers, dtype=torch.long)
    return text


def as_tensor(image: Image.Image, side: int, strength: float = 0.0) -> torch.Tensor:
    """Cut the middle square, move it by lot, and bring it to size. Shapes: [3, side, side]."""
    square = ImageOps.fit(image.convert("RGB"), (OVER * side, OVER * side))
    if strength:
        square = _moved(square, strength)
    small = square.reduce(OVER)
    content = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)
    return content.view(side, side, 3).permute(2, 0, 1).float() / 255


def _moved(image: Image.Image, strength: float) -> Image.Image:
    """Turn, scale and shift an image by lot, all at once."""
    side = image.width
    turn, scale, across, down = (strength * (2 * torch.rand(4) - 1)).tolist()
    shift = (round(SHIFT * side * across), round(SHIFT * side * down))
    size = max(8, round(side * (1 + SCALE * scale)))
    placed = Image.new("RGB", (side, side))
    resized = image.resize((size, size), Image.Resampling.BILINEAR)
    placed.paste(resized, ((side - size) // 2, (side - size) // 2))
    return placed.rotate(DEGREES * turn, Image.Resampling.BILINEAR, translate=shift)


class Collate:
    """Joins items to a batch; texts end where the longest of them does."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def __call__(self, items: list[Item]) -> Item:
        """Shapes: text and hidden [B, W], W the longest of the batch."""
        batch: Item = default_collate(items)
        there = (batch["text"] != self._words.pad).any(0)
        longest = int(there.nonzero().max()) + 1 if there.any() else 1
        return batch | {name: batch[name][:, :longest] for name in ("text", "hidden")}


def train_loader(pairs: Pairs, config: Config) -> DataLoader[Item]:
    """Batches to train on, in a new order each epoch; the run deals them to the processes."""
    return DataLoader(
        Telling(pairs), config.batch_size, shuffle=True, num_workers=config.workers,
        collate_fn=TellingCollate(Collate(pairs.words)),
    )  # fmt: skip


def val_loader(pairs: Pairs, config: Config) -> DataLoader[Item]:
    """Batches to measure on, always the same; it draws from nobody's stream."""
    own = torch.Generator()
    return DataLoader(
        Telling(pairs), VAL_BATCH, num_workers=config.workers, generator=own,
        collate_fn=TellingCollate(Collate(pairs.words)),
    )  # fmt: skip

"""What the trainer reads: clips with captions, and the noise that each is trained under."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from ckptkit.plugin import errors
from ckptkit_trainers.diffusion.config import Config
from ckptkit_trainers.diffusion.digits import SIDE, WORDS, MovingDigits
from ckptkit_trainers.diffusion.folder import GifFolder, Shape, notes_of, read_folder
from ckptkit_trainers.diffusion.words import OwnWords, PretrainedTokens, Tokens, split
from ckptkit_trainers.engine.batches import training_batches
from ckptkit_trainers.engine.place import Place

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of all noise levels: where held-out clips are measured


class Clips(Protocol):
    """Clips with captions. Shapes: (colors, frames, size, size), values -1 to 1."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[torch.Tensor, str]: ...


class Noised(NamedTuple):
    """A clip, or a batch of them, and what it is trained under. Shapes: times (B,)."""

    clip: torch.Tensor
    noise: torch.Tensor
    times: torch.Tensor
    caption: torch.Tensor


class TrainingClips(Dataset[Noised]):
    """Clips under random noise, some without their caption.

    All is drawn from torch's stream, which the run seeds for each sample: noise, level and dropped
    captions belong to the sample, whatever the batch, the worker or the process is.
    """

    def __init__(self, clips: Clips, tokens: Tokens, config: Config) -> None:
        self._clips, self._tokens, self._config = clips, tokens, config

    def __len__(self) -> int:
        limit = self._config.limit
        return min(len(self._clips), limit) if limit else len(self._clips)

    def __getitem__(self, index: int) -> Noised:
        clip, caption = self._clips[index]
        dropped = float(torch.rand(())) < self._config.drop_captions
        times = torch.randint(self._config.timesteps, ())
        numbers = self._tokens(["" if dropped else caption])[0]
        return Noised(clip, torch.randn(clip.shape), times, numbers)


class HeldOutClips(Dataset[Noised]):
    """Clips under noise that is always the same; each in turn at another of ``levels``."""

    def __init__(
        self, clips: Clips, tokens: Tokens, config: Config, levels: tuple[float, ...] = LEVELS
    ) -> None:
        self._clips, self._tokens, self._levels = clips, tokens, levels
        self._timesteps, self._most = config.timesteps, config.val_clips

    def __len__(self) -> int:
        return min(len(self._clips), self._most)

    def __getitem__(self, index: int) -> Noised:
        clip, caption = self._clips[index]
        noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(index))
        level = int(self._levels[index % len(self._levels)] * self._timesteps)
        return Noised(clip, noise, torch.tensor(level), self._tokens([caption])[0])


class Read(NamedTuple):
    """The clips to train on, the held-out ones, and the numbers of their words."""

    train: Clips
    held_out: Clips
    tokens: Tokens
    words: list[str]


def know(read: Read, config: Config) -> tuple[str, ...]:
    """Count words that came into the data since the checkpoint behind those that it knows.

    Returns what of the data is not used, in sentences.
    """
    if isinstance(read.tokens, OwnWords):
        read.tokens.learn(read.words)
    if not isinstance(read.train, GifFolder) or not isinstance(read.held_out, GifFolder):
        return ()
    told = notes_of(Path(config.data).expanduser(), read.train, read.held_out)
    if isinstance(read.tokens, OwnWords):
        told += read.tokens.notes([pair.caption for pair in read.train.pairs])
    return told


def read_data(config: Config) -> Read:
    """Find the clips and count their words. Raises: InputError; CorruptFileError."""
    train: Clips
    held_out: Clips
    if config.data:
        shape = Shape(config.frames, config.size, config.color)
        found = read_folder(Path(config.data).expanduser(), shape)
        (train, held_out), words = found, _words_of(found[0])
    else:
        (train, held_out), words = moving_digits(config), list(WORDS)
    return Read(train, held_out, tokens_of(config, words), words)


def moving_digits(config: Config) -> tuple[Clips, Clips]:
    """Return the digits to train on, and the held-out ones, in motion. Raises: SettingError."""
    if config.size < SIDE:
        raise errors.SettingError(
            "--size", f"is {config.size}", f"{SIDE} or more: a digit has {SIDE} x {SIDE} pixels"
        )
    sizes = {"frames": config.frames, "size": config.size, "seed": config.seed}
    return (MovingDigits(config.clips, held_out=False, color=config.color, **sizes),
            MovingDigits(config.val_clips, held_out=True, color=config.color, **sizes))  # fmt: skip


def load_train(read: Read, config: Config, place: Place) -> DataLoader[Any]:
    """Return the batches of an epoch, split among the processes if there are several."""
    clips = TrainingClips(read.train, read.tokens, config)
    return training_batches(clips, config, place)


def load_held_out(clips: HeldOutClips, config: Config) -> DataLoader[Any]:
    """Return the held-out batches, which draw from nobody's stream."""
    return DataLoader(clips, batch_size=config.batch_size, generator=torch.Generator())


def _words_of(clips: GifFolder) -> list[str]:
    """Return the words of the captions, the frequent ones first."""
    counts: dict[str, int] = {}
    for pair in clips.pairs:
        for word in split(pair.caption):
            counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], word))


def tokens_of(config: Config, words: list[str]) -> Tokens:
    """Return what numbers these words, or the tokenizer of a pretrained text encoder."""
    if config.text:
        return PretrainedTokens(Path(config.text).expanduser(), length=config.caption_length)
    return OwnWords(words, most=config.vocabulary, length=config.caption_length)

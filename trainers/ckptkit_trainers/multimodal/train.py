"""Training the brain: read it from top to bottom."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import torch
from torch import nn

import ckptkit
from ckptkit_trainers.engine.place import Place, placed, vary
from ckptkit_trainers.engine.progress import watched
from ckptkit_trainers.engine.run_options import run_options as options_of
from ckptkit_trainers.engine.stepping import step
from ckptkit_trainers.engine.telling import told
from ckptkit_trainers.multimodal.config import Config, check_config
from ckptkit_trainers.multimodal.data import Item, Pairs, train_loader, val_loader
from ckptkit_trainers.multimodal.embed import Points, to_device
from ckptkit_trainers.multimodal.loss import contrastive, guessing
from ckptkit_trainers.multimodal.migrators import MIGRATORS, VERSIONS
from ckptkit_trainers.multimodal.model import Brain
from ckptkit_trainers.multimodal.parts import parts_of
from ckptkit_trainers.multimodal.probe import probe
from ckptkit_trainers.multimodal.schedule import catch_up
from ckptkit_trainers.multimodal.sheet import progress_sheet
from ckptkit_trainers.multimodal.source import Source, open_source
from ckptkit_trainers.multimodal.summary import summary
from ckptkit_trainers.multimodal.validate import image_to_text, text_to_image, validate
from ckptkit_trainers.multimodal.words import Words

_WAYS = ("text_to_image", "image_to_text")


class Learner(NamedTuple):
    """What makes a step of a batch. ``spread`` is what to call: the model, in all processes."""

    config: Config
    place: Place
    spread: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler


def train(config: Config, folder: str | os.PathLike[str], **run_options: Any) -> None:
    """Train until ``config.epochs``; ``run_options`` go to ``ckptkit.Run``."""
    with placed(config) as place:
        check_config(config)
        source = open_source(config)
        parts = parts_of(config, source)
        brain = Brain(config, parts, pretrained=True).to(place.device)
        weights = [weight for weight in brain.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, config.lr, weight_decay=config.weight_decay)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, config.epochs))
        learner = Learner(config, place, place.spread(brain), optimizer, place.scaler())
        vary(place, config)
        pairs, held_out = _pairs(source, config, Words(parts, config.max_words))
        loader, val = train_loader(pairs, config), val_loader(held_out, config)
        state = {
            "model": brain, "optimizer": optimizer, "scheduler": scheduler,
            "scaler": learner.scaler, "parts": parts,
        }  # fmt: skip
        options = {"probe": lambda: probe(brain, config, place), **_options(config, run_options)}
        with ckptkit.Run(folder, state, trainer="multimodal", versions=VERSIONS, **options) as run:
            catch_up(run, scheduler, optimizer)
            run.tell(summary(run, config, place, source, len(pairs)))
            for epoch in run.epochs(config.epochs):
                learner.spread.train()
                title = f"epoch {epoch + 1} of {config.epochs}"
                shown = config.progress and place.leads
                for batch in watched(run.batches(loader), len(loader), title, shown=shown):
                    _step(run, learner, batch)
                run.log(lr=scheduler.get_last_lr()[0])
                scheduler.step()
                points, losses = Points(), []
                for loss, n_pairs in validate(brain, told(run.evaluate(val)), place, points):
                    run.log({"val_loss": loss}, weight=n_pairs)
                    losses.append((float(loss), n_pairs))
                figures = _figures(points)
                run.log(figures)
                run.tell(f"{title}: {_told(losses, figures)}")
                if place.leads and config.sample_every and not (epoch + 1) % config.sample_every:
                    progress_sheet(points, held_out, run.folder / "samples", epoch + 1)


def _pairs(source: Source, config: Config, words: Words) -> tuple[Pairs, Pairs]:
    """The pairs to train on, and those that are held out."""
    chosen = source.splits["train"][: config.limit or None]
    pairs = Pairs(source, chosen, config, words, moved=True)
    return pairs, Pairs(source, source.splits["val"], config, words, moved=False)


def _step(run: ckptkit.Run, learner: Learner, batch: Item) -> None:
    """See a batch; every ``accumulate`` of them make one step."""
    config, scaler = learner.config, learner.scaler
    there = to_device(batch, learner.place)
    with learner.place.autocast():
        seen = learner.spread(there)
        told = contrastive(seen, there["number"], gathered=True)
        guessed = guessing(seen, there["text"], there["hidden"])
        loss = told + config.word_loss * guessed
    scaler.scale(loss / config.accumulate).backward()  # type: ignore[no-untyped-call]
    if run.micro_batch == config.accumulate - 1:
        step(learner.spread, learner.optimizer, scaler, config.clip)
    run.log(
        train_loss=loss, train_contrastive=told, train_words=guessed, temperature=1 / seen.scale,
        weight=len(there["number"]),
    )  # fmt: skip


def _figures(points: Points) -> dict[str, float]:
    """Figures of the held-out pairs, by names that a history can hold."""
    both = {"text_to_image": text_to_image(points), "image_to_text": image_to_text(points)}
    return {f"{way} {name}": value for way, found in both.items() for name, value in found.items()}


def _told(losses: list[tuple[float, int]], figures: dict[str, float]) -> str:
    """One line of what an epoch reached."""
    mean = sum(loss * n_pairs for loss, n_pairs in losses) / sum(n for _, n in losses)
    found = ", ".join(f"{way.replace('_', ' ')} {figures[f'{way} R@10']:.3f}" for way in _WAYS)
    return f"val_loss {mean:.4f}, R@10 {found}"


def _options(config: Config, given: dict[str, Any]) -> dict[str, Any]:
    """What the run is told: the settings' part, then the caller's, which wins."""
    options = options_of(config, best="val_loss", mode="min") | given
    if config.logdir and "tensorboard" in options["trackers"]:
        own = ckptkit.TensorBoard(config.logdir)
        options["trackers"] = [own if t == "tensorboard" else t for t in options["trackers"]]
    restore: dict[str, Any] = {"migrators": MIGRATORS}
    if config.audio:  # a modality that is new begins fresh, and is told
        restore["allow_missing"] = ("sound.*", "adapters.sound.*")
    elif options.get("force"):  # one that is gone is left behind only by force
        restore["allow_unexpected"] = ("sound.*", "adapters.sound.*")
    options["restore"] = restore | dict(options.get("restore", {}))
    return options

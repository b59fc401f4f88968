"""The segmentation trainer's figures: three architectures on the same drawn tiles.

``python -m benchmarks.quality.segmentation [--out docs/trainers] [--work DIR]``. With a --work
folder that holds broken-off trainings it goes on there.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread: the figures are those of one core

import torch
from PIL import Image

import ckptkit
from benchmarks.quality.session import machine, options_of, timed, working_in, write_figures
from ckptkit_trainers.engine.pictures import save_picture
from ckptkit_trainers.segmentation.config import Config, EvaluateOptions
from ckptkit_trainers.segmentation.data import Drawn, as_seen, open_data
from ckptkit_trainers.segmentation.evaluate import colour_alone, evaluate
from ckptkit_trainers.segmentation.model import logits_of
from ckptkit_trainers.segmentation.overlay import overlays
from ckptkit_trainers.segmentation.restored import restored
from ckptkit_trainers.segmentation.train import train

SHARED = {"seed": 0, "size": 96, "tiles": 300, "val_tiles": 64, "batch_size": 4, "device": "cpu"}
TRAININGS = {
    "unet": {"width": 12, "epochs": 12},
    "buildformer": {"width": 16, "epochs": 24},
    "segformer": {"variant": "b0", "epochs": 60, "lr": 5e-4},
}
SHOWN = (0, 3, 5, 9)  # held-out tiles in the pictures


def main() -> None:
    parser = options_of(__doc__)
    parser.add_argument("--only", choices=list(TRAININGS), help="train this one, write no figures")
    asked = parser.parse_args()
    with working_in(asked.work) as work:
        if asked.only:
            trained(asked.only, work)
            return
        models = {model: measure(model, asked.out, work) for model in TRAININGS}
    figures = {
        **machine(), "colour_alone": colour_alone(open_data(Config(**SHARED))), "models": models,
    }  # fmt: skip
    write_figures(asked.out, "segmentation", figures)
    print(json.dumps(figures, indent=1))


def config_of(model: str) -> Config:
    return Config(model=model, sample_every=0, tensorboard=False, **SHARED, **TRAININGS[model])


def trained(model: str, work: Path) -> dict[str, Any]:
    """Train one architecture to its end; return the minutes that it took."""
    config, folder = config_of(model), work / model
    return timed(folder, lambda: train(config, folder, resume="auto"))


def measure(model: str, out: Path, work: Path) -> dict[str, object]:
    """Train one architecture, and score its best checkpoint."""
    config, minutes = config_of(model), trained(model, work)
    view = ckptkit.open_run(work / model)
    checkpoint = view.folder / "checkpoints" / "best_model"
    options = EvaluateOptions(thresholds="0.5", device="cpu")
    told = evaluate(checkpoint, config, options)
    picture(checkpoint, config, out / "segmentation" / f"{model}.png")
    scores = {row["split"]: row for row in told["scores"]}
    return {
        "settings": asdict(config), **minutes, "epoch": told["epoch"], "step": told["step"],
        "train": scores["train"], "val": scores["val"],
        "val_iou_by_epoch": [round(one, 4) for one in view.history["val_iou"]],
    }  # fmt: skip


@torch.no_grad()
def picture(checkpoint: Path, config: Config, path: Path) -> None:
    """Draw some held-out tiles: image, truth, prediction, errors."""
    model, _, _ = restored(checkpoint, config, "cpu")
    data = Drawn(config, held_out=True)
    images, masks = (torch.stack(part) for part in zip(*(data[n] for n in SHOWN), strict=True))
    guesses = logits_of(model, images).sigmoid() >= config.threshold
    page = overlays(as_seen(images), masks, guesses, scale=2)
    save_picture(page.quantize(128, Image.Quantize.MEDIANCUT), path)


if __name__ == "__main__":
    main()

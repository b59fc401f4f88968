"""The restoration trainer's figures: a fixed training, then PSNR and SSIM on held-out photographs.

``python -m benchmarks.quality.restoration [--out docs/trainers] [--work DIR] [--epochs N]``. With a
--work folder that holds a broken-off training it goes on there.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread: the figures are those of one core

from PIL import Image

import ckptkit
from benchmarks.quality.session import machine, options_of, timed, working_in, write_figures
from ckptkit_trainers.engine.pictures import save_picture, sheet
from ckptkit_trainers.restoration.classical import METHODS, denoise_classically
from ckptkit_trainers.restoration.config import Config, EvaluateOptions
from ckptkit_trainers.restoration.data import HeldOut
from ckptkit_trainers.restoration.denoise import denoise, load_network
from ckptkit_trainers.restoration.evaluate import evaluate
from ckptkit_trainers.restoration.photographs import Gallery, find_photographs
from ckptkit_trainers.restoration.train import train

EPOCHS, SEED, LEVEL = 12, 0, 25.0
SIDE = 128  # of what is shown of each photograph, around the middle; pixels
TITLES = ("clean", "noisy", "total variation", "non-local means", "U-Net")


def main() -> None:
    asked = options_of(__doc__, epochs=EPOCHS).parse_args()
    with working_in(asked.work) as work:
        measure(asked.out, work, asked.epochs)


def measure(out: Path, work: Path, epochs: int) -> None:
    config = Config(epochs=epochs, seed=SEED, device="cpu", precision="bf16", sample_every=0)
    minutes = timed(work, lambda: train(config, work, resume="auto"))
    view = ckptkit.open_run(work)
    checkpoint = view.folder / "checkpoints" / "best_model"
    judged = evaluate(checkpoint, config, EvaluateOptions(classical=True, device="cpu"))
    told = {
        "seed": SEED, "settings": asdict(config), **minutes, **machine(),
        "epoch": judged["epoch"], "step": judged["step"],
        "history": {name: view.history[name] for name in ("epoch", "val_loss", "val_psnr")},
        "by_noise": judged["by_noise"],
    }  # fmt: skip
    write_figures(out, "restoration", told)
    draw(checkpoint, config, out / "restoration")
    print(json.dumps(told["by_noise"], indent=1))
    print(f"{told['minutes']} minutes, {told['cpu_minutes']} of them computing")


def draw(checkpoint: Path, config: Config, out: Path) -> None:
    """Write the middle of each held-out photograph, by every method."""
    finished = load_network(checkpoint, config, "cpu")
    gallery = Gallery(find_photographs("").held_out, colours=config.colours)
    pairs = HeldOut(gallery, noise=LEVEL)
    for index, path in enumerate(gallery.paths):
        clean, noisy = pairs[index]
        images = [clean, noisy, *(denoise_classically(noisy, LEVEL, one) for one in METHODS)]
        images.append(denoise(finished, noisy, tile=512))
        top, left = ((side - SIDE) // 3 for side in clean.shape[-2:])
        row = [one[:, top : top + SIDE, left : left + SIDE] for one in images]
        page = sheet([row], TITLES).quantize(256, Image.Quantize.MEDIANCUT)
        save_picture(page, out / f"{path.stem}.png")


if __name__ == "__main__":
    main()

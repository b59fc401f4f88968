"""The restoration trainer's figures: a fixed training, then PSNR and SSIM on held-out photographs.

``python benchmarks/quality/restoration.py [--out docs/trainers] [--work DIR] [--epochs N]``. With a
--work folder that holds a broken-off training it goes on there.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread: the figures are those of one core

import torch
from PIL import Image

import ckptkit
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/trainers"))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(asked.out, asked.work or Path(folder), asked.epochs)


def measure(out: Path, work: Path, epochs: int) -> None:
    config = Config(epochs=epochs, seed=SEED, device="cpu", precision="bf16", sample_every=0)
    began, began_cpu = time.monotonic(), time.process_time()
    train(config, work, resume="auto")
    minutes = (time.monotonic() - began) / 60
    cpu_minutes = (time.process_time() - began_cpu) / 60
    view = ckptkit.open_run(work)
    checkpoint = view.folder / "checkpoints" / "best_model"
    judged = evaluate(checkpoint, config, EvaluateOptions(classical=True, device="cpu"))
    told = {
        "seed": SEED, "settings": asdict(config), "minutes": round(minutes, 1),
        "cpu_minutes": round(cpu_minutes, 1), "threads": 1, "torch": torch.__version__,
        "machine": platform.machine(), "epoch": judged["epoch"], "step": judged["step"],
        "history": {name: view.history[name] for name in ("epoch", "val_loss", "val_psnr")},
        "results": judged["results"],
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "restoration.json").write_text(json.dumps(told, indent=1) + "\n")
    draw(checkpoint, config, out / "restoration")
    print(json.dumps(told["results"], indent=1))
    print(f"{minutes:.1f} minutes, {cpu_minutes:.1f} of them computing")


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

"""The diffusion trainer's figures: a fixed training, its held-out loss, and who recognises what.

``python -m benchmarks.quality.diffusion [--out docs/trainers] [--work DIR] [--epochs N]``. With a
--work folder that holds a broken-off training it goes on there.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread: the figures are those of one core

from matplotlib.figure import Figure
from PIL import Image

import ckptkit
from benchmarks.quality.session import machine, options_of, timed, working_in, write_figures
from ckptkit_trainers.diffusion.config import Config, EvaluateOptions
from ckptkit_trainers.diffusion.digits import DIGITS, DIRECTIONS
from ckptkit_trainers.diffusion.draw import Way, draw
from ckptkit_trainers.diffusion.evaluate import evaluate
from ckptkit_trainers.diffusion.gifs import FRAME_MS, frames_of
from ckptkit_trainers.diffusion.opened import open_painter
from ckptkit_trainers.diffusion.train import train
from ckptkit_trainers.engine.pictures import save_picture, sheet

EPOCHS, SEED, SCALE = 48, 0, 3
MEASURE = EvaluateOptions(clips=160, samples_each=3, guidance=2.0, steps=20, device="cpu")


def main() -> None:
    asked = options_of(__doc__, epochs=EPOCHS).parse_args()
    with working_in(asked.work) as work:
        measure(asked.out, work, asked.epochs)


def measure(out: Path, work: Path, epochs: int) -> None:
    config = Config(epochs=epochs, seed=SEED, device="cpu")
    minutes = timed(work, lambda: train(config, work, resume="auto"))
    view = ckptkit.open_run(work)
    checkpoint = view.folder / "checkpoints" / "best_model"
    judged = evaluate(checkpoint, config, MEASURE)
    told = {
        "seed": SEED, "settings": asdict(config), "measured": asdict(MEASURE),
        **minutes, **machine(),
        "history": {name: view.history[name] for name in ("epoch", "train_loss", "val_loss")},
        **{name: judged[name] for name in ("epoch", "step", "val_loss", "by_noise",
                                           "drawn_clips", "recognised")},
    }  # fmt: skip
    write_figures(out, "diffusion", told)
    curve(told["history"], out / "diffusion" / "loss.png")
    pictures(checkpoint, config, out / "diffusion")
    print(json.dumps(judged, indent=1))
    print(f"{told['minutes']} minutes, {told['cpu_minutes']} of them computing")


def curve(history: dict[str, list[float]], path: Path) -> None:
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.add_subplot()
    for name, label in (("train_loss", "training"), ("val_loss", "held out, averaged weights")):
        axes.plot(history["epoch"], history[name], marker=".", label=label)
    axes.set(xlabel="epoch", ylabel="error of the velocity", ylim=(0, None))
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def pictures(checkpoint: Path, config: Config, out: Path) -> None:
    """Draw every digit in every direction: a sheet of some, frame by frame, and all in motion."""
    painter = open_painter(checkpoint, config, weights="ema", device="cpu").painter
    captions = [f"{digit} moving {way}" for way in DIRECTIONS for digit in DIGITS]
    clips = draw(painter, captions, config, Way(25, 2.0, seed=1))
    ways = len(DIRECTIONS)
    some = [clips[len(DIGITS) * (digit % ways) + digit] for digit in range(len(DIGITS))]
    titles = [str(frame + 1) for frame in range(config.frames)]
    save_picture(sheet([frames_of(clip) for clip in some], titles, scale=SCALE), out / "sheet.png")
    rows = [clips[first : first + len(DIGITS)] for first in range(0, len(clips), len(DIGITS))]
    pages: list[Image.Image] = [
        sheet([[frames_of(clip)[frame] for clip in row] for row in rows], scale=SCALE)
        for frame in range(config.frames)
    ]
    pages[0].save(
        out / "all.gif", save_all=True, append_images=pages[1:], duration=FRAME_MS, loop=0
    )


if __name__ == "__main__":
    main()

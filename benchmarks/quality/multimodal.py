"""The multimodal trainer's figures: a fixed training on glyphs, and what held-out names find.

``python -m benchmarks.quality.multimodal [--out docs/trainers] [--work DIR] [--epochs N]``. With
a --work folder that holds a broken-off training it goes on there.
"""

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread: the figures are those of one core

from matplotlib.figure import Figure
from PIL import Image

import ckptkit
from benchmarks.quality.session import machine, options_of, timed, working_in, write_figures
from ckptkit_trainers.engine.pictures import save_picture
from ckptkit_trainers.multimodal.config import Config, EvaluateOptions, SampleOptions
from ckptkit_trainers.multimodal.evaluate import evaluate
from ckptkit_trainers.multimodal.sample import sample
from ckptkit_trainers.multimodal.train import train

EPOCHS, SEED = 30, 0
ASKED = (  # held-out names
    "GREEK CAPITAL LETTER ALPHA WITH TONOS",
    "LATIN CAPITAL LETTER A WITH RING ABOVE",
    "ARABIC LETTER SEEN",
    "BRAILLE PATTERN DOTS-148",
    "BALLOT X",
)


def main() -> None:
    asked = options_of(__doc__, epochs=EPOCHS).parse_args()
    with working_in(asked.work) as work:
        measure(asked.out, work, asked.epochs)


def measure(out: Path, work: Path, epochs: int) -> None:
    config = Config(epochs=epochs, seed=SEED, device="cpu", tensorboard=False)
    minutes = timed(work, lambda: train(config, work, resume="auto"))
    view = ckptkit.open_run(work)
    checkpoint = view.folder / "checkpoints" / "best_model"
    found = evaluate(checkpoint, config, EvaluateOptions(split="test"))
    told = {
        "seed": SEED, "settings": asdict(config),
        **minutes, **machine(),
        "history": {name: view.history[name] for name in ("epoch", "val_loss", *RECALLS)},
        **{name: value for name, value in found.items() if name != "checkpoint"},
    }  # fmt: skip
    write_figures(out, "multimodal", told)
    curve(told["history"], out / "multimodal" / "recall.png")
    pictures(checkpoint, config, out / "multimodal" / "found.png")
    print(json.dumps(found, indent=1))
    print(f"{told['minutes']} minutes, {told['cpu_minutes']} of them computing")


RECALLS = tuple(f"text_to_image R@{depth}" for depth in (1, 5, 10))


def curve(history: dict[str, list[float]], path: Path) -> None:
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.add_subplot()
    for name in RECALLS:
        axes.plot(history["epoch"], history[name], marker=".", label=name.split()[-1])
    axes.set(xlabel="epoch", ylabel="of 500 names, found in 500", ylim=(0, 1))
    axes.legend(title="validation")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def pictures(checkpoint: Path, config: Config, path: Path) -> None:
    """What some names find among the held-out glyphs, one row each."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for text in ASKED:
            options = SampleOptions(text=text, among="test", top=7, out=folder, device="cpu")
            rows.append(Image.open(sample(checkpoint, config, options)["sheet"]).copy())
    page = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    save_picture(page, path)


if __name__ == "__main__":
    main()

"""The multimodal trainer's figures: a fixed training on glyphs, and what held-out names find.

``python -m benchmarks.quality.multimodal [--out docs/trainers] [--work DIR] [--epochs N]``. With
a --work folder that holds a broken-off training it goes on there.
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
from matplotlib.figure import Figure
from PIL import Image

import ckptkit
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/trainers"))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(asked.out, asked.work or Path(folder), asked.epochs)


def measure(out: Path, work: Path, epochs: int) -> None:
    config = Config(epochs=epochs, seed=SEED, device="cpu", tensorboard=False)
    sessions = trained(config, work)
    view = ckptkit.open_run(work)
    checkpoint = view.folder / "checkpoints" / "best_model"
    found = evaluate(checkpoint, config, EvaluateOptions(split="test"))
    told = {
        "seed": SEED, "settings": asdict(config),
        "minutes": round(sum(wall for wall, _ in sessions) / 60, 1),
        "cpu_minutes": round(sum(cpu for _, cpu in sessions) / 60, 1),
        "sessions": len(sessions), "threads": 1, "torch": torch.__version__,
        "machine": platform.machine(),
        "history": {name: view.history[name] for name in ("epoch", "val_loss", *RECALLS)},
        **{name: value for name, value in found.items() if name != "checkpoint"},
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "multimodal.json").write_text(json.dumps(told, indent=1) + "\n")
    curve(told["history"], out / "multimodal" / "recall.png")
    pictures(checkpoint, config, out / "multimodal" / "found.png")
    print(json.dumps(found, indent=1))
    print(f"{told['minutes']} minutes, {told['cpu_minutes']} of them computing")


RECALLS = tuple(f"text_to_image R@{depth}" for depth in (1, 5, 10))


def trained(config: Config, work: Path) -> list[list[float]]:
    """Train to the target; return seconds by the clock and of the processor, a pair a session."""
    ledger = work / "sessions.json"
    sessions = json.loads(ledger.read_text()) if ledger.is_file() else []
    began, began_cpu = time.monotonic(), time.process_time()
    try:
        train(config, work, resume="auto")
    finally:
        spent = [time.monotonic() - began, time.process_time() - began_cpu]
        work.mkdir(parents=True, exist_ok=True)
        ledger.write_text(json.dumps([*sessions, spent]))
    return [*sessions, spent]


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

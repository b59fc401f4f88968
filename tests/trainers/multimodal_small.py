"""A multimodal training of seconds: ten painted photographs in Flickr8k's layout."""

import os
import wave
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.train import train

COLOURS = ("red", "green", "blue", "yellow", "purple")
FORMS = ("circle", "square")
TINY = {
    "width": 16, "d_shared": 24, "image_size": 16, "image_layers": 2, "text_layers": 1,
    "join_layers": 1, "heads": 2, "vocabulary": 60, "max_words": 12, "sound_seconds": 0.25,
    "lr": 1e-3, "batch_size": 4, "epochs": 2, "sample_every": 0, "tensorboard": False, "device": "cpu",
    "progress": False,
}  # fmt: skip


def painted(folder, *, form="csv", images="Images", splits=True, sounds=False):
    """Ten pictures with two captions each: six to train on, two in val, two in test."""
    folder = Path(folder)
    (folder / images).mkdir(parents=True)
    names = []
    for number, (colour, shape) in enumerate((c, f) for f in FORMS for c in COLOURS):
        page = Image.new("RGB", (24, 20), "white")
        pen = ImageDraw.Draw(page)
        (pen.ellipse if shape == "circle" else pen.rectangle)((4, 2, 18, 16), fill=colour)
        names.append(
            (f"{number}_{colour}.jpg", f"a {colour} {shape} , on white", f"{shape} in {colour}")
        )
        page.save(folder / images / names[-1][0])
    if form == "csv":
        rows = ["image,caption"] + [f"{name},{text}" for name, *two in names for text in two]
        (folder / "captions.txt").write_text("\n".join(rows) + "\n")
    else:
        rows = [f"{name}#{i}\t{text}" for name, *two in names for i, text in enumerate(two)]
        (folder / "Flickr8k.token.txt").write_text("\n".join(rows) + "\n")
    files = [name for name, *_ in names]
    if splits:
        parts = {"train": files[2:8], "dev": files[:2], "test": files[8:]}
        for part, chosen in parts.items():
            (folder / f"Flickr_8k.{part}Images.txt").write_text("\n".join(chosen) + "\n")
    if sounds:
        spoken(folder / "wavs", files)
    return folder


def spoken(folder, files):
    """A tone for each caption, named as Flickr Audio Captions names them."""
    folder.mkdir()
    for number, name in enumerate(files):
        for caption in range(2):
            clock = np.arange(1600) / 8000
            wav(
                folder / f"{Path(name).stem}_{caption}.wav",
                np.sin(6.28 * (300 + 100 * number) * clock),
            )


def wav(path, sound, *, rate=8000, kind=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        file.setsampwidth(kind)
        file.setframerate(rate)
        if kind == 1:
            content = np.round(sound * 127 + 128).astype("u1")
        else:
            content = np.round(sound * (2 ** (8 * kind - 1) - 1)).astype(f"<i{kind}")
        file.writeframes(content.tobytes())


class Trained:
    """A training, with what it said and where it wrote."""

    def __init__(self, folder, data, **settings):
        run_options = {k: settings.pop(k) for k in ("resume", "force", "restore") if k in settings}
        self.told = []
        self.config = Config(data=os.fspath(data), **(TINY | settings))
        train(self.config, folder, tell=self.told.append, **run_options)
        self.run = max(path for path in Path(folder).iterdir() if path.is_dir())

    @property
    def said(self):
        return "\n".join(self.told)

    def at(self, name):
        return self.run / "checkpoints" / name

"""A folder with a checkpoint in it, a save that replaces it, and what may be found afterwards."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from pathlib import Path

from ckptkit.storage.atomic import stage
from ckptkit.storage.leftovers import recover_two_step
from ckptkit.storage.writer import FileToWrite, write_files

Contents = dict[str, bytes]


class Bytes:
    """A source of bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._view, self.nbytes = memoryview(data), len(data)

    def read_into(self, offset: int, out: memoryview) -> None:
        out[:] = self._view[offset : offset + len(out)]


def contents(seed: int) -> Contents:
    """A checkpoint's files: a large part of several blocks, small ones, an empty one, a side file."""
    rng = random.Random(seed)
    return {
        "model.safetensors": rng.randbytes(1_300_000 + seed),
        "optimizer.safetensors": rng.randbytes(90_000 + seed),
        "side/config.json": rng.randbytes(300),
        "empty.bin": b"",
        "manifest.msgpack": rng.randbytes(500 + seed),
    }


OLD, NEW = contents(1), contents(2)


def save(target: Path, files: Contents, *, replace: bool, workers: int = 2) -> None:
    """What a verb does: stage, write, seal, commit."""
    *data, seal = files.items()
    to_write = [FileToWrite(name, body[:16], _parts(body[16:])) for name, body in data]
    needed = sum(map(len, files.values()))
    with stage(target, replace=replace, needed_nbytes=needed) as staged:
        write_files(staged.path, to_write, workers=workers)
        staged.write_last(*seal)
        staged.commit()


def _parts(body: bytes) -> tuple[Bytes, ...]:
    cuts = [0, 5, 5, 4000, 70_000, len(body)]
    cuts = sorted(min(cut, len(body)) for cut in cuts)
    return tuple(Bytes(body[a:b]) for a, b in itertools.pairwise(cuts))


def read(path: Path) -> Contents | None:
    """Everything below a path; None if there is nothing."""
    if not os.path.lexists(path):
        return None
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def recover(target: Path) -> Contents | None:
    """What a reader finds: it asks for a moved-aside checkpoint first."""
    recover_two_step(target)
    return read(target)


def prepare(folder: Path, before: Contents | None) -> Path:
    """An empty folder with the checkpoint ``before`` in it, if any; returns the target."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target = folder / "checkpoint_epoch_7"
    for name, body in (before or {}).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(body)
    return target

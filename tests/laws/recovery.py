"""A training dict to damage, and what is in a recovered folder, for the laws of ``recover``."""

import hashlib
import json
import struct
import zipfile

import torch

from ckptkit.containers.logical import logical_source
from ckptkit.errors import CkptkitError
from ckptkit.verbs.open import load
from ckptkit.verbs.recover import recover
from ckptkit.verbs.recovering.half_states import HALF_KEY


def training_dict(width=256, layers=6):
    """Weights with a tie, AdamW's state, views, a tensor without elements, seven dtypes."""
    torch.manual_seed(width)
    blocks = [torch.nn.Linear(width, width) for _ in range(layers)]
    blocks[-1].weight = blocks[0].weight
    model = torch.nn.Sequential(*blocks)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.ones(2, width)).sum().backward()
    optimizer.step()
    big = torch.randn(4 * width)
    return {
        "epoch": 3,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "views": {"front": big[: 2 * width], "back": big[2 * width :].view(2, -1).t()},
        "dtypes": {
            "half": torch.randn(width).half(),
            "brain": torch.randn(width, width).bfloat16(),
            "small": torch.randint(0, 9, (width,), dtype=torch.uint8),
            "double": torch.randn(width).double(),
            "complex": torch.randn(width, dtype=torch.complex64),
            "mask": torch.randn(width) > 0,
            "empty": torch.zeros(0, 5),
        },
        "config": {"lr": 1e-3, "name": "a run"},
    }


def digest(node):
    data = bytearray(node.nbytes)
    if data:
        logical_source(node).read_into(0, memoryview(data))
    return node.dtype.name, node.shape, hashlib.sha256(data).hexdigest()


def contents(path):
    """Every tensor of a checkpoint by its place in the document: what it is, and in which storage."""
    with load(path) as checkpoint:
        return {
            one.path: (digest(one.node), one.node.storage.key)
            for one in checkpoint.tensors()
            if one.path[0] != "provenance"
        }


def zip_spans(path):
    """Where each record's bytes lie, by its name below the root: zipfile's word, not ours."""
    data = path.read_bytes()
    found = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name, extra = struct.unpack("<2H", data[info.header_offset + 26 :][:4])
            start = info.header_offset + 30 + name + extra
            found[info.filename.partition("/")[2]] = (start, start + info.file_size)
    return found


def legacy_spans(path, sizes):
    """Where each storage lies: back to back at the end, in the order of their keys."""
    found, stop = {}, path.stat().st_size
    for key in sorted(sizes, reverse=True):
        found[key] = (stop - sizes[key], stop)
        stop -= sizes[key] + 8
    return found


def safetensors_spans(path):
    data = path.read_bytes()
    nbytes = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + nbytes])
    header.pop("__metadata__", None)
    return {
        name: tuple(8 + nbytes + n for n in entry["data_offsets"]) for name, entry in header.items()
    }


class Outcome:
    """A recovery: its report and what lies in the folder, or the error that there was instead."""

    def __init__(self, source, target):
        self.report = self.error = None
        self.saved = {}
        try:
            self.report = recover(source, target)
        except CkptkitError as exc:
            self.error = exc
            assert not target.exists()
            return
        self.saved = {own_place(place): told for place, (told, _) in contents(target).items()}


def own_place(place):
    """Where a tensor was before what was left of its parameter's state was set aside."""
    return place[2:] if place[:2] == ("extra", HALF_KEY) else place

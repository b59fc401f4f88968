"""Makes folders of small weight files, and reads single bytes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ckptkit.containers.hf_folder import FolderContainer
from ckptkit.containers.logical import logical_source
from ckptkit.containers.probe import make_probe
from ckptkit.containers.safetensors_header import dump_header
from ckptkit.nodes import BlobNode, TensorNode
from ckptkit.protocols import Opened
from ckptkit.types import DEFAULT_LIMITS, DTYPES, TensorSpec
from ckptkit.verbs.open import open_container


def open_folder(folder: Path) -> Opened:
    return FolderContainer().open(make_probe(folder), DEFAULT_LIMITS, open_container)


def weights(path: Path, **values: int) -> None:
    specs = [TensorSpec(name, DTYPES["uint8"], (1,)) for name in values]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump_header(specs)[0] + bytes(values.values()))


def blob_bytes(blob: BlobNode) -> bytes:
    out = bytearray(blob.nbytes)
    blob.source.read_into(0, memoryview(out))
    return bytes(out)


def byte_of(tensor: TensorNode) -> int:
    out = bytearray(1)
    logical_source(tensor).read_into(0, memoryview(out))
    return out[0]


def write_index(folder: Path, name: str = "model.safetensors.index.json", **shard_of: Any) -> Path:
    index = {"metadata": {"total_size": 3}, "weight_map": shard_of}
    (folder / name).write_text(json.dumps(index, indent=2, sort_keys=True))
    return folder / name


def sharded(folder: Path) -> Path:
    weights(folder / "model-00001-of-00002.safetensors", a=1, b=2)
    weights(folder / "model-00002-of-00002.safetensors", c=3)
    one, two = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    return write_index(folder, a=one, c=two, b=one)

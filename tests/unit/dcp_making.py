"""Makes torch.distributed.checkpoint folders with torch's own classes, whole and damaged."""

from __future__ import annotations

import io
import pickle
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)


def grid_boxes(shape: tuple[int, ...], cuts: list[list[int]]) -> list[tuple[Any, Any]]:
    """All boxes (offsets, sizes) of a grid; ``cuts`` are the inner edges of each dimension."""
    edges = [[0, *inner, length] for inner, length in zip(cuts, shape, strict=True)]
    spans = [[(a, b - a) for a, b in pairwise(axis)] for axis in edges]
    return [(tuple(o for o, _ in combo), tuple(s for _, s in combo)) for combo in product(*spans)]


class FolderMaker:
    """Collects tensors in boxes and plain objects, then writes them as two ranks would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.metadata = Metadata(state_dict_metadata={}, planner_data={}, storage_data={})
        self.shards = {f"__{rank}_0.distcp": bytearray() for rank in range(2)}
        self.count = 0

    def add_tensor(
        self, name: str, value: torch.Tensor, boxes: list[Any], path: Any = None
    ) -> None:
        chunks = []
        for index, (offsets, sizes) in enumerate(boxes):
            part = value[tuple(slice(o, o + s) for o, s in zip(offsets, sizes, strict=True))]
            chunks.append(ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes)))
            place = MetadataIndex(name, torch.Size(offsets), index)
            self.metadata.storage_data[place] = self.store(part.clone())
        self.metadata.state_dict_metadata[name] = TensorStorageMetadata(
            TensorProperties.create_from_tensor(value), value.shape, chunks
        )
        self.metadata.planner_data[name] = path or (name,)

    def add_object(self, name: str, value: Any, path: Any = None) -> None:
        self.metadata.state_dict_metadata[name] = BytesStorageMetadata()
        self.metadata.storage_data[MetadataIndex(name)] = self.store(value)
        self.metadata.planner_data[name] = path or (name,)

    def store(self, value: Any) -> _StorageInfo:
        data = io.BytesIO()
        torch.save(value, data)
        return self.store_bytes(data.getvalue())

    def store_bytes(self, data: bytes) -> _StorageInfo:
        self.count += 1
        name = f"__{self.count % 2}_0.distcp"
        info = _StorageInfo(name, len(self.shards[name]), len(data))
        self.shards[name] += data
        return info

    def write(self) -> Path:
        for name, data in self.shards.items():
            (self.folder / name).write_bytes(data)
        (self.folder / ".metadata").write_bytes(pickle.dumps(self.metadata, protocol=4))
        return self.folder

"""Folders by hand: shards with an index, torch.distributed.checkpoint, framed manifests."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgpack
import xxhash

from tests.attacks import build_pickle as b
from tests.attacks.build_safetensors import entry, safetensors
from tests.attacks.build_zip import torch_zip

META = "torch.distributed.checkpoint.metadata"


def sharded(weight_map: Any = None, shards: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """A model of one shard and its index."""
    name = "model-00001-of-00001.safetensors"
    index = {
        "metadata": {"total_size": 16},
        "weight_map": {"weight": name} if weight_map is None else weight_map,
    }
    files = {name: safetensors()} if shards is None else shards
    return {**files, "model.safetensors.index.json": json.dumps(index).encode()}


def made(module: str, qualname: str, **state: Any) -> b.Raw:
    """An object with attributes."""
    return b.build(b.new(b.name(module, qualname)), state)


def size(*dims: int) -> b.Raw:
    """A torch.Size."""
    return b.call(b.name("torch", "Size"), tuple(dims))


def dcp_metadata(
    *,
    file: Any = "__0_0.distcp",
    start: Any = 0,
    length: Any = None,
    shape: tuple[int, ...] = (4,),
    chunks: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (((0,), (4,)),),
    stored: tuple[tuple[int, ...], ...] | None = None,
    extra: Any = None,
) -> bytes:
    """The ``.metadata`` of one float32 tensor "weight"."""
    properties = b.Raw(
        b.new(b.name(META, "TensorProperties"))
        + b.tup(
            b.name("torch", "float32"), b.call(b.name("torch.serialization", "_get_layout"), "torch.strided"),
            False, b.call(b.name(META, "_MEM_FORMAT_ENCODING"), 0), False,
        )
        + b"b"
    )  # fmt: skip
    rows = [made(META, "ChunkStorageMetadata", offsets=size(*o), sizes=size(*s)) for o, s in chunks]
    tensor = made(
        META, "TensorStorageMetadata", properties=properties, size=size(*shape), chunks=rows
    )
    nbytes = len(dcp_item()) if length is None else length
    places = b"".join(
        made(META, "MetadataIndex", fqn="weight", offset=size(*offset), index=0)
        + made("torch.distributed.checkpoint.filesystem", "_StorageInfo", relative_path=file, offset=start, length=nbytes)
        for offset in (stored if stored is not None else tuple(o for o, _ in chunks))
    )  # fmt: skip
    state: dict[str, Any] = {
        "state_dict_metadata": {"weight": tensor},
        "planner_data": {"weight": ("weight",)},
        "storage_data": b.Raw(b"}(" + places + b"u"),
        "storage_meta": None,
        "version": "1.0.0",
    }
    if extra is not None:
        state["extra"] = extra
    return b.stream(made(META, "Metadata", **state), 4)


def dcp_item() -> bytes:
    """What lies in a .distcp file for a tensor of four floats: a whole torch file."""
    return torch_zip(b.stream(b.tensor()))


def dcp(item: bytes | None = None, **metadata: Any) -> dict[str, bytes]:
    """A folder of torch.distributed.checkpoint with one tensor."""
    return {
        ".metadata": dcp_metadata(**metadata),
        "__0_0.distcp": dcp_item() if item is None else item,
    }


def manifest(body: Any, *, digest: bytes | None = None, length: int | None = None) -> bytes:
    """A framed manifest: an array of 2, bin 32 with the body, bin 8 with its xxh3-128."""
    raw = body if isinstance(body, bytes) else msgpack.packb(body)
    tail = xxhash.xxh3_128_digest(raw) if digest is None else digest
    head = b"\x92\xc6" + struct.pack(">I", len(raw) if length is None else length)
    return head + raw + b"\xc4" + bytes([len(tail)]) + tail


def v2_body() -> dict[str, Any]:
    """The manifest of a small v2 folder: two tensors of one file, a side file, three sections."""
    data = safetensors_pair()
    header = len(data) - 32
    return {
        "format": "ckptkit",
        "schema": 2,
        "writer": "ckptkit 0.1.0",
        "created": "",
        "files": [
            ["model.safetensors", len(data), "data", xxhash.xxh3_128_digest(data[:header])],
            ["config.json", 2, "side", xxhash.xxh3_128_digest(b"{}")],
        ],
        "sections": [
            ["model", 1, [[1, 0, 2], "a", [6, 0], "b", [6, 1]]],
            ["progress", 1, [[1, 0, 1], "epochs_completed", 3]],
            ["extra", 1, [[1, 0, 1], "l", [2, 0, 2], 1, 2.5]],
        ],
        "tensors": {
            "count": 2,
            "names": ["a", "b"],
            "dtypes": [["float32"], b"\0\0"],
            "ranks": b"\1\2",
            "dims": [4, 2, 2],
            "files": [0, 0],
            "starts": [header, header + 16],
            "stops": [header + 16, header + 32],
            "digests": xxhash.xxh3_128_digest(data[header : header + 16]) * 2,
            "flavours": b"\0\0",
        },
    }


def safetensors_pair() -> bytes:
    """The data file of ``v2_body``."""
    header = {"a": entry(), "b": entry(shape=[2, 2], offsets=(16, 32))}
    return safetensors(header, safetensors()[-16:] * 2)


def v2(body: Any = None, **files: bytes) -> dict[str, bytes]:
    """A v2 folder with this manifest (a mapping, or the bytes of a body)."""
    held = {"model.safetensors": safetensors_pair(), "config.json": b"{}"}
    return {**held, **files, "manifest.msgpack": manifest(v2_body() if body is None else body)}

"""Folders by hand: shards with an index, torch.distributed.checkpoint, framed manifests."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import xxhash

from tests.attacks import build_pickle as b
from tests.attacks.build_safetensors import safetensors
from tests.attacks.build_zip import torch_zip

META = "torch.distributed.checkpoint.metadata"


def sharded(weight_map: Any = None, shards: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """A model of one shard and its index."""
    name = "model-00001-of-00001.safetensors"
    index = {"metadata": {"total_size": 16}, "weight_map": {"weight": name} if weight_map is None else weight_map}
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
    tensor = made(META, "TensorStorageMetadata", properties=properties, size=size(*shape), chunks=rows)
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
    return {".metadata": dcp_metadata(**metadata), "__0_0.distcp": dcp_item() if item is None else item}


def manifest(body: Any, *, digest: bytes | None = None) -> bytes:
    """A framed manifest: msgpack of [bin(body), bin(xxh3-128 of body)]."""
    raw = body if isinstance(body, bytes) else msgpack.packb(body)
    framed: bytes = msgpack.packb([raw, xxhash.xxh3_128_digest(raw) if digest is None else digest])
    return framed

"""A folder that ``from_pretrained`` opens: weights in shards, their index, and the side files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.nodes import BlobNode, MapNode, Node
from ckptkit.types import Notice
from ckptkit.verbs.exporting.safetensors_files import (
    SUFFIX,
    Named,
    left_out_notice,
    named_tensors,
    plan_file,
)
from ckptkit.verbs.exporting.values import ExportPlan, PlannedOutput
from ckptkit.verbs.open import Checkpoint

CONFIG = "config.json"
INDEX_SUFFIX = ".index.json"
_MAX_CONFIG_NBYTES = 16 << 20
_WEIGHT_SUFFIXES = (SUFFIX, ".bin", ".pt", ".pth", ".ckpt", INDEX_SUFFIX)
_DTYPE_KEYS = ("dtype", "torch_dtype")  # new and old name of transformers
_MAX_SHOWN = 3


def plan_hf(
    checkpoint: Checkpoint, sections: Mapping[str, Node], max_shard_nbytes: int, dtype: str | None
) -> ExportPlan:
    """Plan the folder: the tensors of one section, and what lies beside them in the source.

    Of tied tensors only the first name is written, as transformers does; it ties them again.
    """
    [(section, node)] = sections.items()
    tensors, left_out = named_tensors(section, node)
    kept, tied = _without_ties(tensors)
    side_files = side_files_of(checkpoint)
    notices = [*_tie_notice(tied), *left_out_notice(left_out)]
    if CONFIG not in side_files and "adapter_config.json" not in side_files:
        message = "the source has no config.json: from_pretrained needs one beside the weights"
        notices.append(Notice("warning", "no-config", message))
    outputs = _weights(_stem(side_files), kept, max_shard_nbytes)
    taken = {output.name for output in outputs}
    for name, blob in side_files.items():
        if name in taken or name.endswith(_WEIGHT_SUFFIXES):
            continue
        content = _config_with(blob, dtype) if name == CONFIG and dtype else None
        if content is not None:
            notices.append(Notice("info", "config-dtype", f"config.json now says {dtype}", CONFIG))
        source = blob.source if content is None else MemoryBytes(content)
        outputs.append(PlannedOutput(name, "side", b"", (source,)))
    return ExportPlan(
        outputs=tuple(outputs), sections=(section,), is_folder=True,
        left_out=tuple(left_out), notices=tuple(notices),
    )  # fmt: skip


def side_files_of(checkpoint: Checkpoint) -> dict[str, BlobNode]:
    """The files that lie beside the weights of the source, by name."""
    opened = checkpoint.opened
    if checkpoint.sealed is None:
        files = opened.properties.get("side_files")
        pairs = files.items() if isinstance(files, MapNode) else []
        return {str(name): blob for name, blob in pairs}
    blobs = opened.root["files"]
    entries = checkpoint.sealed.manifest.files
    return {entry.name: blobs[entry.name] for entry in entries if entry.kind == "side"}


def _stem(side_files: Mapping[str, BlobNode]) -> str:
    """The name under which the library that reads the folder looks for its weights."""
    if "adapter_config.json" in side_files:
        return "adapter_model"
    config = _parsed(side_files[CONFIG]) if CONFIG in side_files else None
    is_diffusers = isinstance(config, dict) and "_diffusers_version" in config
    return "diffusion_pytorch_model" if is_diffusers else "model"


def _without_ties(tensors: Sequence[Named]) -> tuple[list[Named], list[tuple[str, str]]]:
    """The first of tied tensors, and (other name, first name) of the rest."""
    first: dict[object, str] = {}
    kept, tied = [], []
    for one in tensors:
        name = first.setdefault(one.node.same_view(), one.name)
        if name == one.name or not one.node.numel:
            kept.append(one)
        else:
            tied.append((one.name, name))
    return kept, tied


def _tie_notice(tied: Sequence[tuple[str, str]]) -> list[Notice]:
    if not tied:
        return []
    shown = ", ".join(f"{name} (is {first})" for name, first in tied[:_MAX_SHOWN])
    more = f" and {len(tied) - _MAX_SHOWN:,} more" if len(tied) > _MAX_SHOWN else ""
    message = "tied tensors are written once, as transformers does; the model ties them again"
    return [Notice("info", "ties-dropped", message, shown + more)]


def _weights(stem: str, tensors: Sequence[Named], max_nbytes: int) -> list[PlannedOutput]:
    shards = split_shards(tensors, max_nbytes)
    if len(shards) == 1:
        return [plan_file(f"{stem}{SUFFIX}", shards[0])]
    names = [f"{stem}-{i:05}-of-{len(shards):05}{SUFFIX}" for i in range(1, len(shards) + 1)]
    outputs = [plan_file(name, shard) for name, shard in zip(names, shards, strict=True)]
    index = {
        "metadata": {
            "total_parameters": sum(one.node.numel for one in tensors),
            "total_size": sum(one.node.nbytes for one in tensors),
        },
        "weight_map": {
            one.name: name for name, shard in zip(names, shards, strict=True) for one in shard
        },
    }
    data = json.dumps(index, indent=2, sort_keys=True).encode("utf-8") + b"\n"
    outputs.append(PlannedOutput(f"{stem}{SUFFIX}{INDEX_SUFFIX}", "index", data, ()))
    return outputs


def split_shards(tensors: Sequence[Named], max_nbytes: int) -> list[list[Named]]:
    """Fill one shard after the other; a tensor that is larger than a shard has one of its own."""
    shards: list[list[Named]] = [[]]
    filled = 0
    for one in tensors:
        if shards[-1] and filled + one.node.nbytes > max_nbytes:
            shards.append([])
            filled = 0
        shards[-1].append(one)
        filled += one.node.nbytes
    return shards


def _config_with(blob: BlobNode, dtype: str) -> bytes | None:
    """The config with the dtype that the weights now have; None if it names none."""
    config = _parsed(blob)
    if not isinstance(config, dict) or not any(key in config for key in _DTYPE_KEYS):
        return None
    changed = {key: dtype if key in _DTYPE_KEYS else value for key, value in config.items()}
    return json.dumps(changed, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def _parsed(blob: BlobNode) -> object:
    """A small JSON file that lies beside the weights; None if it is none."""
    if blob.nbytes > _MAX_CONFIG_NBYTES:
        return None
    data = bytearray(blob.nbytes)
    blob.source.read_into(0, memoryview(data))
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None

"""A folder that ``from_pretrained`` opens: weights in shards, their index, and the side files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.nodes import BlobNode, MapNode, Node
from ckptkit.types import Notice
from ckptkit.verbs.exporting.hf_config import (
    ADAPTER_CONFIG,
    CONFIG,
    config_for,
    parsed_config,
)
from ckptkit.verbs.exporting.safetensors_files import (
    SUFFIX,
    Named,
    left_out_notice,
    named_tensors,
    plan_file,
)
from ckptkit.verbs.exporting.values import ExportOptions, ExportPlan, PlannedOutput
from ckptkit.verbs.open import Checkpoint

INDEX_SUFFIX = ".index.json"
_WEIGHT_SUFFIXES = (SUFFIX, ".bin", ".pt", ".pth", ".ckpt", INDEX_SUFFIX)
_MAX_SHOWN = 3


def plan_hf(
    checkpoint: Checkpoint, sections: Mapping[str, Node], options: ExportOptions
) -> ExportPlan:
    """Plan the folder: the tensors of one section, and what lies beside them in the source.

    Of tied tensors only the first name is written, as transformers does; it ties them again.
    """
    [(section, node)] = sections.items()
    tensors, left_out = named_tensors(section, node)
    kept, tied = _without_ties(tensors)
    side_files = side_files_of(checkpoint)
    config = config_for(checkpoint.document, side_files, options.config, options.dtype)
    notices = [*_tie_notice(tied), *left_out_notice(left_out), *config.notices]
    is_adapter = ADAPTER_CONFIG in side_files and config.data is None
    outputs = _weights(_stem(config.data, is_adapter=is_adapter), kept, options.max_shard_nbytes)
    taken = {output.name for output in outputs}
    for name, blob in side_files.items():
        if name not in taken and name != CONFIG and not name.endswith(_WEIGHT_SUFFIXES):
            outputs.append(PlannedOutput(name, "side", b"", (blob.source,)))
    if config.data is not None:
        outputs.append(PlannedOutput(CONFIG, "side", b"", (MemoryBytes(config.data),)))
    return ExportPlan(
        outputs=tuple(outputs), sections=(section,), is_folder=True,
        missing=() if config.data is not None or is_adapter else (CONFIG,),
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


def _stem(config: bytes | None, *, is_adapter: bool) -> str:
    """The name under which the library that reads the folder looks for its weights."""
    if is_adapter:
        return "adapter_model"
    is_diffusers = "_diffusers_version" in parsed_config(config)
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

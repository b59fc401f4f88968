"""The ``config.json`` of an hf folder: the source's own, one that is named, or one it carries."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.errors import MismatchError
from ckptkit.nodes import BlobNode, MapNode, Node, SeqNode
from ckptkit.types import Notice

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
SECTION = "config"
MAX_NBYTES = 16 << 20
_SIGNS = ("model_type", "architectures", "_class_name")  # of transformers, and of diffusers
_DTYPE_KEYS = ("dtype", "torch_dtype")  # new and old name of transformers
_MAX_DEPTH = 32


class FoundConfig(NamedTuple):
    """A config as bytes, None where there is none, and what is to be said of it."""

    data: bytes | None
    notices: tuple[Notice, ...] = ()


def config_for(
    document: MapNode,
    side_files: Mapping[str, BlobNode],
    named: FilePath | str | None,
    dtype: str | None,
) -> FoundConfig:
    """Choose the config: the one that is ``named``, that of the source, or its section ``config``.

    Raises: MismatchError for a named file that is no config; NotFoundError, AccessDeniedError.
    """
    found = _chosen(document, side_files, named)
    if found.data is None or dtype is None:
        return found
    config = _parsed(found.data)
    if not isinstance(config, dict) or not any(key in config for key in _DTYPE_KEYS):
        return found
    changed = {key: dtype if key in _DTYPE_KEYS else value for key, value in config.items()}
    told = Notice("info", "config-dtype", f"config.json now says {dtype}", CONFIG)
    return FoundConfig(_dumped(changed), (*found.notices, told))


def parsed_config(data: bytes | None) -> Mapping[str, object]:
    """What a config says; nothing where there is none, or it cannot be read."""
    config = None if data is None else _parsed(data)
    return config if isinstance(config, dict) else {}


def _chosen(
    document: MapNode, side_files: Mapping[str, BlobNode], named: FilePath | str | None
) -> FoundConfig:
    if named is not None:
        return FoundConfig(_read_named(FilePath(named)))
    if CONFIG in side_files:
        return FoundConfig(_content(side_files[CONFIG]))
    if ADAPTER_CONFIG in side_files:
        return FoundConfig(None)
    place, carried = _carried(document.get(SECTION))
    if carried is None:
        message = (
            "config.json is missing, and from_pretrained needs one beside the weights: name it "
            "with --config FILE, or write it: model.config.save_pretrained(DST)"
        )
        return FoundConfig(None, (Notice("warning", "no-config", message),))
    try:
        data = _dumped(_plain(carried, place, _MAX_DEPTH))
    except MismatchError as exc:
        message = f"config.json is missing: {exc.where} {exc.seen}; name one with --config FILE"
        return FoundConfig(None, (Notice("warning", "no-config", message),))
    told = f"config.json was made of what the checkpoint carries in {place}"
    return FoundConfig(data, (Notice("info", "config-made", told, CONFIG),))


def _read_named(path: FilePath) -> bytes:
    with FileBytes(path) as file:
        data = bytes(file.head(MAX_NBYTES))
    config = _parsed(data)
    if not isinstance(config, dict) or not any(sign in config for sign in _SIGNS):
        raise MismatchError(
            path, "is no config of a model", f"a JSON object with {' or '.join(_SIGNS)}",
            "model.config.save_pretrained(FOLDER) writes one",
        )  # fmt: skip
    return data


def _content(blob: BlobNode) -> bytes:
    if blob.nbytes > MAX_NBYTES:
        raise MismatchError(
            CONFIG, f"has {blob.nbytes:,} bytes", f"at most {MAX_NBYTES:,}", "name one: --config"
        )
    data = bytearray(blob.nbytes)
    blob.source.read_into(0, memoryview(data))
    return bytes(data)


def _carried(node: Node) -> tuple[str, MapNode | None]:
    """The one mapping that says what model it is: the section itself, or one directly in it."""
    if not isinstance(node, MapNode):
        return "", None
    if any(sign in node for sign in _SIGNS):
        return SECTION, node
    inner = [
        (f"{SECTION}/{key}", value)
        for key, value in node.items()
        if isinstance(value, MapNode) and any(sign in value for sign in _SIGNS)
    ]
    return inner[0] if len(inner) == 1 else ("", None)


def _plain(node: Node, place: str, depth: int) -> object:
    """A node as JSON has it. Raises: MismatchError for what JSON has not."""
    if isinstance(node, MapNode) and depth:
        return {_key(k, place): _plain(v, f"{place}/{k}", depth - 1) for k, v in node.items()}
    if isinstance(node, SeqNode) and depth and node.kind in ("list", "tuple"):
        return [_plain(item, f"{place}/{i}", depth - 1) for i, item in enumerate(node.items)]
    if node is None or type(node) in (bool, int, str):
        return node
    if type(node) is float and math.isfinite(node):
        return node
    raise MismatchError(place, "is nothing that JSON can hold")


def _key(key: Node, place: str) -> str:
    if type(key) in (str, int):
        return str(key)
    raise MismatchError(place, f"has the key {key!a}, which JSON cannot hold")


def _dumped(config: object) -> bytes:
    return json.dumps(config, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None

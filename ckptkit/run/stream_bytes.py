"""The random streams of a moment as one frame of bytes and back: quick enough for every step."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from ckptkit.errors import CkptkitError, MismatchError, UnrepresentableError
from ckptkit.run.rng import RngMark
from ckptkit.schema.framing import dump_frame, parse_body, parse_frame
from ckptkit.types import Limits

_INT64 = range(-(2**63), 2**64)  # what msgpack holds; a stream of NumPy counts in 128 bits
_DTYPES = {"uint8": torch.uint8, "int64": torch.int64}  # of the tensors that streams are made of
_ARRAYS = ("|u1", "<u4", "<u8", "<i8")  # of NumPy's
_WHERE = "random streams"


class Kept(NamedTuple):
    """Streams as of ``moment``, which is whatever plain numbers its writer tells it by."""

    moment: list[int]
    streams: RngMark


def dump_streams(moment: list[int], streams: RngMark) -> bytes:
    """Return one frame with a digest. Raises: UnrepresentableError for an unknown generator."""
    version, words, gauss = streams.python
    devices = {kind: [_plain(one) for one in states] for kind, states in streams.devices.items()}
    return dump_frame({
        "moment": moment, "python": [version, array("I", words).tobytes(), gauss],
        "numpy": _plain(streams.numpy), "torch": _plain(streams.torch_cpu), "devices": devices,
        "generators": {name: _plain(one) for name, one in streams.generators.items()},
    })  # fmt: skip


def parse_streams(data: bytes) -> Kept | None:
    """Return what a frame holds; None for one that is torn, or is none."""
    try:
        body = parse_body(parse_frame(data, _WHERE, Limits()), _WHERE)
        version, words, gauss = body["python"]
        legacy = _live(body["numpy"])
        streams = RngMark(
            (version, tuple(array("I", words)), gauss),
            None if legacy is None else tuple(legacy),
            _live(body["torch"]),
            {kind: [_live(one) for one in states] for kind, states in body["devices"].items()},
            {name: _live(one) for name, one in body["generators"].items()},
        )
        return Kept([int(number) for number in body["moment"]], streams)
    except (CkptkitError, KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        return None


def is_same(one: RngMark | None, other: RngMark | None) -> bool:
    """Say whether nothing was drawn from any stream between two moments of one process."""
    if one is None or other is None:
        return False
    return one is other or dump_streams([], one) == dump_streams([], other)


# -- values of streams as msgpack, tagged where it has no such value -------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        name = str(value.dtype).removeprefix("torch.")
        if name not in _DTYPES or value.dim() != 1:
            raise UnrepresentableError(_WHERE, f"a tensor of {name}", "bytes or 64-bit integers")
        return {"tensor": name, "bytes": value.numpy(force=True).tobytes()}
    if isinstance(value, Mapping):
        return {"map": {str(key): _plain(one) for key, one in value.items()}}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, int) and value not in _INT64:
        return {"int": hex(value)}
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return {"array": value.dtype.str, "bytes": value.tobytes()}
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    return value


def _live(value: Any) -> Any:
    """The value that ``_plain`` was given.

    Raises: MismatchError, KeyError, TypeError, ValueError.
    """
    if isinstance(value, list):
        return [_live(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "map" in value:
        return {key: _live(one) for key, one in value["map"].items()}
    if "int" in value:
        return int(value["int"], 16)
    if "tensor" in value:
        return torch.frombuffer(bytearray(value["bytes"]), dtype=_DTYPES[value["tensor"]])
    import numpy as np

    if value["array"] not in _ARRAYS:
        raise MismatchError(_WHERE, f"an array of {value['array']!r}", "integers")
    return np.frombuffer(bytearray(value["bytes"]), dtype=value["array"])

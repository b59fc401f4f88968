"""The two stacked formats before the zip: five pickles in a row (1.5), and a tar (0.1.9)."""

from __future__ import annotations

import io
import pickle as p
import struct
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from tests.attacks.build_pickle import const, name, state_dict, stream, tensor, tup
from tests.attacks.build_zip import FOUR_FLOATS

MAGIC = bytes.fromhex("80028a0a6cfc9c46f920 6aa85019".replace(" ", "")) + b"."
VERSION = stream(const(1001))
SYSTEM = stream(
    const(
        {
            "protocol_version": 1001,
            "little_endian": True,
            "type_sizes": {"short": 2, "int": 4, "long": 4},
        }
    )
)


def legacy_storage(
    key: Any = "0", numel: Any = 4, kind: str = "FloatStorage", view: Any = None
) -> bytes:
    """A storage by the persistent id of the stacked format."""
    return tup("storage", name("torch", kind), key, "cpu", numel, view) + p.BINPERSID


def legacy_pickle() -> bytes:
    """The fourth pickle of a small honest file."""
    return state_dict(weight=tensor(legacy_storage()))


def legacy(
    pickle: bytes | None = None,
    *,
    magic: bytes = MAGIC,
    version: bytes = VERSION,
    system: bytes = SYSTEM,
    keys: bytes | None = None,
    storages: Sequence[tuple[int, bytes]] = ((4, FOUR_FLOATS),),
) -> bytes:
    """A stacked file; ``storages`` are (stated number of elements, bytes)."""
    listed = stream(const([str(i) for i in range(len(storages))])) if keys is None else keys
    raw = b"".join(struct.pack("<q", numel) + data for numel, data in storages)
    return magic + version + system + (pickle or legacy_pickle()) + listed + raw


def tar_storages(
    rows: Sequence[tuple[Any, int, bytes]] = ((1, 4, FOUR_FLOATS),),
    *,
    count: int | None = None,
    views: Any = (),
    kind: bytes | None = None,
) -> bytes:
    """The member ``storages``: a count, (key, location, class) + numel + bytes, then views."""
    cls = name("torch", "FloatStorage") if kind is None else kind
    out = stream(const(len(rows) if count is None else count))
    for key, numel, data in rows:
        out += stream(tup(key, "cpu", cls)) + struct.pack("<q", numel) + data
    return out + stream(const(list(views)))


def tar_tensors(
    rows: Sequence[tuple[Any, Any, tuple[int, ...], tuple[int, ...], int]] = (
        (2, 1, (4,), (1,), 0),
    ),
    *,
    count: int | None = None,
    ndim: int | None = None,
) -> bytes:
    """The member ``tensors``: a count, then (key, storage, class), ndim, sizes, strides, offset."""
    out = stream(const(len(rows) if count is None else count))
    for key, target, size, stride, offset in rows:
        out += stream(tup(key, target, name("torch", "FloatTensor")))
        rank = len(size) if ndim is None else ndim
        out += struct.pack(f"<i4x{len(size)}q{len(stride)}q", rank, *size, *stride)
        out += struct.pack("<q", offset)
    return out


TAR_PICKLE = stream(const({"weight": 0})[:-3] + const("2") + p.BINPERSID + p.SETITEMS)


def tar_members(**changed: bytes) -> dict[str, bytes]:
    """The members of a small honest tar; ``changed`` replaces some."""
    return {
        "sys_info": SYSTEM,
        "pickle": TAR_PICKLE,
        "tensors": tar_tensors(),
        "storages": tar_storages(),
    } | changed


def write_tar(members: Mapping[str, bytes], extra: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """Write a tar; ``extra`` headers (links, devices) come first and hold no bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in extra:
            tar.addfile(info)
        for key, data in members.items():
            info = tarfile.TarInfo(key)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()

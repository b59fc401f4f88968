"""Mutators that know the structure of what they break. All draw from one Random: replayable."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

import msgpack

from tests.attacks.build_folder import v2, v2_body
from tests.attacks.build_legacy import (
    SYSTEM,
    VERSION,
    legacy,
    tar_members,
    tar_storages,
    tar_tensors,
    write_tar,
)
from tests.attacks.build_safetensors import frame
from tests.attacks.build_zip import FOUR_FLOATS, End, Entry, members, write_zip
from tests.attacks.fuzz_bytes import INTEGERS, JUNK, Dice, Files, bump
from tests.attacks.fuzz_pickles import framework, mutate_pickle
from tests.attacks.fuzz_seeds import STORAGES, Seeds, split


def cut(dice: Dice, data: bytes) -> bytes:
    """Truncate, or put something behind."""
    if dice.random() < 0.8:
        return data[: dice.randrange(len(data) + 1)]
    return data + dice.choice((b"\0", b".", b"PK\5\6", data[:64], dice.randbytes(30)))


def splice(dice: Dice, seeds: Seeds, data: bytes) -> bytes:
    """The head of one file and the tail of another."""
    other = dice.choice(seeds.files)
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other) + 1) :]


# -- containers -----------------------------------------------------------------------------------


def zip_file(dice: Dice, seeds: Seeds) -> Files:
    """A torch zip whose pickle, members or end record lie."""
    body = (
        mutate_pickle(dice, seeds) if dice.random() < 0.6 else b"".join(dice.choice(seeds.pickles))
    )
    order = dice.choice((b"little", b"little", b"big", b"x", None))
    rows = members(
        body, STORAGES, root=dice.choice(("archive", "archive", "a/b", "", "é")), byteorder=order
    )
    end = End()
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        at = dice.randrange(len(rows))
        rows[at] = lie(dice, rows[at])
        what = dice.randrange(8)
        if what == 0:
            rows.append(rows[dice.randrange(len(rows))])
        elif what == 1:
            del rows[dice.randrange(len(rows))]
            rows = rows or members()
        elif what == 2:
            dice.shuffle(rows)
        elif what == 3:
            field = dice.choice(("count", "size", "offset", "disk", "shift", "zip64"))
            value: Any = dice.choice(INTEGERS) % (1 << 31)
            value = value % 65536 if field in ("count", "disk") else value
            end = end._replace(**{field: bool(value % 2) if field == "zip64" else value})
    try:
        data = write_zip(rows, end)
    except struct.error:
        data = write_zip(members(body, STORAGES))
    return {"": data}


def lie(dice: Dice, row: Entry) -> Entry:
    """One field of one member."""
    field = dice.choice((
        "name", "data", "method", "flags", "crc", "csize", "usize", "local_name", "local_crc", "local_csize",
        "local_usize", "local_flags", "local_method", "offset", "extra", "local_extra", "comment", "external", "omit_local",
        "omit_central",
    ))  # fmt: skip
    number = abs(dice.choice(INTEGERS)) % (1 << 32)
    values: dict[str, Any] = {
        "name": dice.choice(("archive/data/0", "archive/data.pkl", "archive/constants.pkl", "../x", "archive/version", "")),
        "data": bump(dice, row.data), "method": dice.choice((0, 8, 8, 12, 99)), "local_method": dice.choice((0, 8)),
        "flags": 1 << dice.randrange(16), "local_flags": 1 << dice.randrange(16), "local_name": dice.randbytes(5),
        "extra": dice.choice((b"\1\0\x10\0" + bytes(16), dice.randbytes(6), b"FB\4\0ZZZZ")), "local_extra": dice.randbytes(dice.randrange(9)),
        "comment": b"PK\5\6" * 3, "omit_local": True, "omit_central": True,
    }  # fmt: skip
    return row._replace(**{field: values.get(field, number)})


def legacy_file(dice: Dice, seeds: Seeds) -> Files:
    """A stacked file with one of its five pickles or its storages changed."""
    what = dice.randrange(6)
    if what == 0:
        return {"": legacy(mutate_pickle(dice, seeds))}
    if what == 1:
        return {"": legacy(version=mutate_pickle(dice, seeds, [VERSION[:2], VERSION[2:-1], b"."]))}
    if what == 2:
        return {"": legacy(system=bump(dice, SYSTEM))}
    if what == 3:
        return {
            "": legacy(
                keys=mutate_pickle(
                    dice, seeds, [b"\x80\x02", b"]", b"(", b"X\1\0\0\x000", b"e", b"."]
                )
            )
        }
    if what == 4:
        numel = dice.choice(INTEGERS)
        numel = numel if -(2**63) <= numel < 2**63 else 4
        return {"": legacy(storages=((numel, FOUR_FLOATS),) * dice.choice((1, 1, 2)))}
    return {"": bump(dice, legacy(b"".join(dice.choice(seeds.pickles))))}


def tar_file(dice: Dice, seeds: Seeds) -> Files:
    """A tar with one member or header changed."""
    what = dice.randrange(5)
    small = [value for value in INTEGERS if -(2**63) <= value < 2**63]
    if what == 0:
        return {"": write_tar(tar_members(pickle=mutate_pickle(dice, seeds)))}
    if what == 1:
        row = (
            2,
            dice.choice((1, 1, 99)),
            (dice.choice(small),),
            (dice.choice(small),),
            dice.choice(small),
        )
        return {
            "": write_tar(
                tar_members(tensors=tar_tensors((row,), count=dice.choice((1, 1, 2, -1))))
            )
        }
    if what == 2:
        views = ((5, dice.choice((1, 5, 7)), dice.choice(small), dice.choice(small)),)
        storages = tar_storages(
            ((1, dice.choice((4, 4, *small)), FOUR_FLOATS),), views=dice.choice((views, ()))
        )
        return {"": write_tar(tar_members(storages=storages))}
    if what == 3:
        member = dice.choice(("storages", "tensors", "pickle", "sys_info"))
        return {"": write_tar(tar_members(**{member: bump(dice, tar_members()[member])}))}
    raw = bytearray(write_tar(tar_members()))
    start = 512 * dice.randrange(len(raw) // 512)
    at = start + dice.choice((0, 100, 124, 125, 130, 136, 148, 156, 157, 257, 345))
    raw[at : at + 4] = dice.choice(
        (b"\xff\xff\xff\xff", b"7777", b"0000", b"\x80\0\0\0", dice.randbytes(4))
    )
    header = raw[start : start + 512]
    raw[start + 148 : start + 156] = (
        f"{sum(header[:148]) + 256 + sum(header[156:]):06o}\0 ".encode()[:8]
    )
    return {"": bytes(raw)}


def safetensors_file(dice: Dice, seeds: Seeds) -> Files:
    """A header with edited fields, text or length."""
    del seeds
    header: dict[str, Any] = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "I64", "shape": [2], "data_offsets": [16, 32]},
    }
    for _ in range(dice.choice((0, 1, 1, 2))):
        target = header[dice.choice(("a", "b"))]
        field = dice.choice(("dtype", "shape", "data_offsets", "other"))
        number = dice.choice(INTEGERS)
        # A copy: what two inputs share would make neither of them replayable.
        lists = ([number], [0, number], [number, 16], [number, number])
        target[field] = copy.deepcopy(dice.choice((*JUNK, *lists, number, "F64", "BOOL", "F4")))
        if dice.random() < 0.2:
            header[dice.choice(("__metadata__", "c", "a"))] = copy.deepcopy(dice.choice(JUNK))
            if not isinstance(header["a"], dict):
                break
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    if dice.random() < 0.3:
        text = bump(dice, text)
    length = dice.choice((None, None, None, abs(dice.choice(INTEGERS)) % 2**64))
    return {"": frame(text, FOUR_FLOATS * dice.choice((2, 2, 2, 1, 3)), length=length)}


def folder(dice: Dice, seeds: Seeds) -> Files:
    """A folder with one file broken, removed or swapped for another."""
    files = dict(dice.choice(seeds.folders))
    name = dice.choice(list(files))
    what = dice.randrange(6)
    if what == 0:
        files[name] = bump(dice, files[name])
    elif what == 1:
        files[name] = cut(dice, files[name])
    elif what == 2:
        del files[name]
    elif what == 3:
        files[name] = dice.choice(seeds.files)
    elif what == 4 and ".metadata" in files:
        files[".metadata"] = mutate_pickle(dice, seeds, split_once(files[".metadata"]))
    elif "manifest.msgpack" in files:
        return sealed(dice, seeds)
    return {key or "x": value for key, value in files.items()} or {"x": b""}


def sealed(dice: Dice, seeds: Seeds) -> Files:
    """A v2 folder whose manifest lies somewhere, under a digest that fits."""
    del seeds
    body = v2_body()
    if dice.random() < 0.2:
        return v2(bump(dice, msgpack.packb(body)))
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        lie_inside(dice, body)
    try:
        return v2(msgpack.packb(body))
    except (OverflowError, ValueError):  # larger than msgpack can say
        return v2()


def lie_inside(dice: Dice, root: Any) -> None:
    """Change, repeat, swap or remove one thing at a random depth of nested lists and mappings."""
    target = root
    while True:
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        if not keys:
            return
        key = dice.choice(keys)
        if isinstance(target[key], (dict, list)) and target[key] and dice.random() < 0.8:
            target = target[key]
            continue
        break
    what, old = dice.randrange(6), target[key]
    if what == 0 and isinstance(target, list):
        del target[key]
    elif what == 1 and isinstance(target, list):
        target.insert(
            key,
            copy.deepcopy(
                dice.choice((old, target[dice.randrange(len(target))], dice.choice(JUNK)))
            ),
        )
    elif what == 2 and isinstance(old, bytes):
        target[key] = bump(dice, old)
    elif what == 3 and isinstance(old, int):
        target[key] = old + dice.choice((-1, 1, 16, -16, 2**32))
    elif what == 4:
        target[key] = copy.deepcopy(dice.choice(JUNK))
    else:
        target[key] = dice.choice(INTEGERS)


_CUT: dict[bytes, list[bytes]] = {}


def split_once(stream: bytes) -> list[bytes]:
    """The opcodes of a stream, remembered."""
    if stream not in _CUT:
        _CUT[stream] = split(stream)
    return _CUT[stream]


def any_file(dice: Dice, seeds: Seeds) -> Files:
    """A whole seed with broken bytes, cut, or spliced with another."""
    data = dice.choice(seeds.files)
    what = dice.randrange(4)
    if what < 2:
        return {"": bump(dice, data)}
    return {"": cut(dice, data) if what == 2 else splice(dice, seeds, data)}


def bare(dice: Dice, seeds: Seeds) -> Files:
    """A pickle alone."""
    return {"": mutate_pickle(dice, seeds)}


KINDS: tuple[Callable[[Dice, Seeds], Files], ...] = (
    bare, bare, framework, framework, zip_file, zip_file, zip_file, legacy_file, tar_file, safetensors_file, any_file, any_file, folder, sealed,
)  # fmt: skip


def mutant(seed: int, index: int, seeds: Seeds) -> tuple[str, Files]:
    """Input number ``index`` of a run: always the same one."""
    dice = random.Random((seed << 40) + index)
    kind = dice.choice(KINDS)
    return kind.__name__, kind(dice, seeds)

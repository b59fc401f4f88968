"""Small files to begin with: pickles by their opcodes, and whole files of every container."""

from __future__ import annotations

import pickletools
import struct
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.attacks import build_pickle as b
from tests.attacks.attack_tensors import _index, longs
from tests.attacks.build_folder import dcp, sharded, v2
from tests.attacks.build_legacy import legacy, legacy_pickle, tar_members, write_tar
from tests.attacks.build_safetensors import entry, safetensors
from tests.attacks.build_zip import FOUR_FLOATS, torch_zip
from tests.attacks.case import Case
from tests.attacks.catalog import hostile_cases

LARGEST = 3_000  # bytes of a hostile seed; larger ones are slow by design
STORAGES = {
    "0": FOUR_FLOATS,
    "1": longs(0, 1, 2, 3, 0, 1, 2, 3),
    "2": struct.pack("<4d", 1, 2, 3, 4),
}


class Seeds(NamedTuple):
    """What the mutators draw from."""

    pickles: list[list[bytes]]  # opcodes with their arguments, one list a stream
    opcodes: list[bytes]  # every distinct one
    names: list[bytes]  # GLOBAL opcodes
    files: list[bytes]
    folders: list[dict[str, bytes]]
    words: list[str]  # every string that a dialect looks for


def split(stream: bytes) -> list[bytes]:
    """Cut a pickle into opcodes; what cannot be read stays as one last piece."""
    marks = []
    try:
        marks = [at for _, _, at in pickletools.genops(stream) if at is not None]
    except Exception:  # a hostile stream may end anywhere
        marks = marks or [0]
    marks.append(len(stream))
    pieces = [stream[a:z] for a, z in pairwise(marks)]
    return pieces or [stream]


def honest_pickles() -> list[bytes]:
    """Streams that use every rebuild that torch and numpy have."""
    utils = "torch._utils"
    size = b.call(b.name("torch", "Size"), (2, 4))
    sparse = b.call(
        b.name(utils, "_rebuild_sparse_tensor"),
        b.call(b.name("torch.serialization", "_get_layout"), "torch.sparse_coo"),
        b.Raw(b.tup(_index("1", 2, 4), b.tensor(), size, True)),
    )
    quantizer = b.Raw(b.tup(b.name("torch", "per_tensor_affine"), 0.5, 0))
    quantized = b.call(
        b.name(utils, "_rebuild_qtensor"), b.storage("0", 16, "QInt8Storage"), 0, (4, 4), (4, 1), quantizer,
        False, b.EMPTY_HOOKS,
    )  # fmt: skip
    untyped = b.storage("0", 16, "UntypedStorage")
    v3 = b.call(
        b.name(utils, "_rebuild_tensor_v3"),
        untyped,
        0,
        (8,),
        (1,),
        False,
        b.EMPTY_HOOKS,
        b.name("torch", "uint16"),
    )
    dtype = b.build(
        b.call(b.name("numpy", "dtype"), "f8", False, True), (3, "<", None, None, None, -1, -1, 0)
    )
    array = b.call(
        b.name("numpy.core.multiarray", "_reconstruct"), b.name("numpy", "ndarray"), (0,), b"b"
    )
    array = b.Raw(array + b.tup(1, (1, 1), dtype, False, b"12345678") + b"b")
    scalar = b.call(b.name("numpy.core.multiarray", "scalar"), dtype, b"12345678")
    ordered = b.call(b.name("collections", "OrderedDict"), [["a", 1]])
    module = b.build(
        b.new(b.name("models", "Net")), {"_parameters": {"w": b.tensor()}, "training": True}
    )
    meta = b.call(
        b.name(utils, "_rebuild_meta_tensor_no_storage"),
        b.name("torch", "float32"),
        (2, 2),
        (2, 1),
        False,
    )
    values = {
        "weight": b.tensor(), "t": b.tensor(None, 0, (2, 2), (1, 2)), "p": b.call(
            b.name(utils, "_rebuild_parameter"), b.tensor(), True, b.EMPTY_HOOKS),
        "s": sparse, "q": quantized, "v3": v3, "array": array, "scalar": scalar, "o": ordered, "m": module, "meta": meta,
    }  # fmt: skip
    plain = {
        "epoch": 3,
        "lr": 0.1,
        "name": "x",
        "big": 2**70,
        "none": None,
        "l": [1, (2, 3), {}],
        5: True,
    }
    codes = b.stream(b.const({"b": b.call(b.name("_codecs", "encode"), "x\u00e9", "latin1"), "s": b.call(
        b.name("__builtin__", "set"), [1, 2])}))  # fmt: skip
    import pickle

    shared = (1, "a")
    objects = [
        {"a": shared, "b": [shared, {1, 2}], "c": bytearray(b"x"), "d": frozenset({3}), "e": 1j},
        [[[]]],
        {2.5: b"x"},
    ]
    dumped = [pickle.dumps(item, protocol) for item in objects for protocol in range(6)]
    wholes = [b.stream(b.const({key: value}), 3) for key, value in values.items()]
    return [
        b.stream(b.const(values), 3),
        b.state_dict(**{str(k): v for k, v in plain.items()}),
        codes,
        *wholes,
        *dumped,
    ]


def load_seeds() -> Seeds:
    """Build them all; deterministic, needs no torch."""
    streams = honest_pickles()
    files = [
        torch_zip(), legacy(), write_tar(tar_members()), safetensors(), torch_zip(streams[0], STORAGES),
        safetensors({"__metadata__": {"format": "pt"}, "a": entry("I64", [2]), "b": entry("U8", [0], [16, 16])}),
    ]  # fmt: skip
    for case in hostile_cases():
        data = _bytes_of(case)
        if data is None or len(data) > LARGEST:
            continue
        if case.live is not None:
            streams.append(case.live)
        files.append(data)
    streams.append(legacy_pickle())
    pickles = [split(stream) for stream in dict.fromkeys(streams)]
    opcodes = list(
        dict.fromkeys(piece for pieces in pickles for piece in pieces if len(piece) < 200)
    )
    names = [piece for piece in opcodes if piece.startswith(b"c")]
    hugging_face = {
        "config.json": b"{}",
        "pytorch_model.bin": torch_zip(),
        "optimizer.pt": legacy(),
    }
    folders = [dcp(), sharded(), hugging_face, v2()]
    return Seeds(pickles, opcodes, names, list(dict.fromkeys(files)), folders, dialect_words())


def dialect_words() -> list[str]:
    """The string literals of the dialects: with them as keys a mutant is taken for a framework's."""
    import ast

    import ckptkit.dialects

    words: set[str] = set()
    for path in Path(ckptkit.dialects.__path__[0]).glob("*.py"):
        tree = ast.parse(path.read_text())
        found = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        words |= {
            word
            for word in found
            if isinstance(word, str) and 0 < len(word) < 40 and " " not in word
        }
    return sorted(words)


def _bytes_of(case: Case) -> bytes | None:
    """The bytes of a case that is one file, without writing it."""
    for cell in getattr(case.build, "__closure__", None) or ():
        if isinstance(cell.cell_contents, bytes):
            return bytes(cell.cell_contents)
    return None

"""Tensors whose geometry, storage or indices leave their bytes."""

from __future__ import annotations

import pickle as p
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from tests.attacks import build_pickle as b
from tests.attacks.build_zip import FOUR_FLOATS, torch_zip
from tests.attacks.case import Case, file_of

SPARSE = b.name("torch._utils", "_rebuild_sparse_tensor")
LAYOUT = b.name("torch.serialization", "_get_layout")
QTENSOR = b.name("torch._utils", "_rebuild_qtensor")


def longs(*values: int) -> bytes:
    """Little-endian int64."""
    return struct.pack(f"<{len(values)}q", *values)


def _index(key: str, *shape: int) -> b.Raw:
    numel, strides = 1, []
    for size in reversed(shape):
        strides.insert(0, numel)
        numel *= size
    return b.tensor(b.storage(key, numel, "LongStorage"), 0, tuple(shape), tuple(strides))


def _bounds() -> Iterator[tuple[str, bytes, Mapping[str, bytes] | None]]:
    """Rows of (title, tensor, storages): none of them may be handed out."""
    geometry: dict[str, tuple[Any, Any, Any]] = {
        "offset-negative": (-1, (2,), (1,)),
        "offset-outside": (1, (4,), (1,)),
        "offset-far": (2**62, (1,), (1,)),
        "offset-overflow": (2**63 - 1, (4,), (1,)),
        "offset-beyond-64": (2**64, (1,), (1,)),
        "offset-float": (0.5, (4,), (1,)),
        "offset-none": (None, (4,), (1,)),
        "size-negative": (0, (-1,), (1,)),
        "size-two-negatives": (0, (-2, -2), (2, 1)),
        "size-large": (0, (5,), (1,)),
        "size-overflow": (0, (2**32, 2**32), (1, 1)),
        "size-overflow-to-four": (0, (2**62 + 1, 4), (4, 1)),
        "size-beyond-64": (0, (2**64 + 4,), (1,)),
        "size-float": (0, (4.0,), (1,)),
        "size-text": (0, "4", (1,)),
        "size-nested": (0, ((4,),), (1,)),
        "size-none": (0, None, (1,)),
        "stride-negative": (3, (4,), (-1,)),
        "stride-large": (0, (2,), (4,)),
        "stride-overflow": (0, (2, 2), (2**63, 1)),
        "stride-overflow-wrap": (0, (3,), (2**63,)),
        "stride-beyond-64": (0, (2,), (2**64,)),
        "stride-text": (0, (4,), "1"),
        "stride-rank": (0, (2, 2), (1,)),
        "stride-rank-more": (0, (4,), (1, 1)),
        "rank-100": (0, tuple([1] * 99 + [4]), tuple([1] * 100)),
        "rank-100000": (0, tuple([1] * 100_000), tuple([1] * 100_000)),
        "outer-large": (0, (2, 4), (1, 1)),
    }
    for title, (offset, size, stride) in geometry.items():
        yield title, b.tensor(None, offset, size, stride), None


def _storages() -> Iterator[tuple[str, bytes, Mapping[str, bytes] | None]]:
    yield "numel-large", b.tensor(b.storage(numel=400), 0, (400,)), None
    yield "numel-huge", b.tensor(b.storage(numel=2**60), 0, (2**60,)), None
    yield "numel-overflow", b.tensor(b.storage(numel=2**62 + 4), 0, (2**62 + 4,)), None
    yield "numel-negative", b.tensor(b.storage(numel=-4)), None
    yield "numel-text", b.tensor(b.storage(numel="4")), None
    yield "numel-float", b.tensor(b.storage(numel=4.5)), None
    yield "key-missing", b.tensor(b.storage(key="7")), None
    yield "key-traversal", b.tensor(b.storage(key="../../../etc/hostname")), None
    yield "key-absolute", b.tensor(b.storage(key="/etc/hostname")), None
    yield "key-of-data-pkl", b.tensor(b.storage(key="../data.pkl")), None
    yield "key-nul", b.tensor(b.storage(key="0\0")), None
    yield "key-list", b.tensor(b.storage(key=["0"])), None
    yield (
        "id-short",
        b.tensor(b.Raw(b.tup("storage", b.name("torch", "FloatStorage")) + p.BINPERSID)),
        None,
    )
    yield (
        "id-kind",
        b.tensor(
            b.Raw(b.tup("stor", b.name("torch", "FloatStorage"), "0", "cpu", 4) + p.BINPERSID)
        ),
        None,
    )
    yield (
        "id-text-class",
        b.tensor(b.Raw(b.tup("storage", "FloatStorage", "0", "cpu", 4) + p.BINPERSID)),
        None,
    )
    yield "unknown-class", b.tensor(b.storage(kind="EvilStorage")), None
    yield "short-record", b.tensor(), {"0": FOUR_FLOATS[:-1]}
    yield "empty-record", b.tensor(), {"0": b""}
    yield "no-record", b.tensor(), {}
    yield "wider-class", b.tensor(b.storage(kind="DoubleStorage")), None
    untyped = b.storage(kind="UntypedStorage", numel=16)
    rebuild = b.name("torch._utils", "_rebuild_tensor_v3")
    wide = b.call(rebuild, untyped, 0, (4,), (1,), False, b.EMPTY_HOOKS, b.name("torch", "float64"))
    yield "v3-wider", wide, None


def _sparse() -> Iterator[tuple[str, bytes, Mapping[str, bytes] | None]]:
    values = b.tensor()
    coo = b.name("torch", "sparse_coo")
    del coo
    size = b.call(b.name("torch", "Size"), (4, 4))

    def of_coo(indices: bytes) -> b.Raw:
        data = b.Raw(b.tup(indices, values, size, True))
        return b.call(SPARSE, b.call(LAYOUT, "torch.sparse_coo"), data)

    good = longs(0, 1, 2, 3, 0, 1, 2, 3)
    for title, raw in (
        ("coo-outside", good[:-8] + longs(4)), ("coo-negative", good[:-8] + longs(-1)),
        ("coo-far", good[:-8] + longs(2**62)),
    ):  # fmt: skip
        yield title, of_coo(_index("1", 2, 4)), {"0": FOUR_FLOATS, "1": raw}
    yield "coo-ndim", of_coo(_index("1", 3, 4)), {"0": FOUR_FLOATS, "1": longs(*[0] * 12)}
    yield "coo-nnz", of_coo(_index("1", 2, 3)), {"0": FOUR_FLOATS, "1": longs(*[0] * 6)}
    float_indices = b.tensor(b.storage("1", 8), 0, (2, 4), (4, 1))
    yield "coo-float-indices", of_coo(float_indices), {"0": FOUR_FLOATS, "1": FOUR_FLOATS * 2}
    for layout in ("csr", "csc", "bsr", "bsc"):
        for title, compressed, plain in (
            ("falls", (0, 2, 1, 3, 4), (0, 1, 2, 3)), ("start", (1, 1, 2, 3, 4), (0, 1, 2, 3)),
            ("end", (0, 1, 2, 3, 9), (0, 1, 2, 3)), ("plain", (0, 1, 2, 3, 4), (0, 1, 2, 9)),
            ("negative", (0, 1, 2, 3, 4), (0, 1, 2, -3)),
        ):  # fmt: skip
            data = b.Raw(b.tup(_index("1", 5), _index("2", 4), values, size))
            body = b.call(SPARSE, b.call(LAYOUT, f"torch.sparse_{layout}"), data)
            stores = {"0": FOUR_FLOATS, "1": longs(*compressed), "2": longs(*plain)}
            yield f"{layout}-{title}", body, stores
    short = b.Raw(b.tup(_index("1", 5), values))
    yield (
        "csr-short",
        b.call(SPARSE, b.call(LAYOUT, "torch.sparse_csr"), short),
        {"0": FOUR_FLOATS, "1": longs(0, 1, 2, 3, 4)},
    )
    junk = b.call(SPARSE, b.call(LAYOUT, "torch.sparse_evil"), b.Raw(b.tup(values)))
    yield "layout-unknown", junk, None


def _quantized() -> Iterator[tuple[str, bytes, Mapping[str, bytes] | None]]:
    store = b.storage("0", 16, "QInt8Storage")
    affine = b.name("torch", "per_tensor_affine")
    channel = b.name("torch", "per_channel_affine")
    scales = b.tensor(b.storage("1", 4, "DoubleStorage"))
    zeros = _index("2", 4)
    more = {"0": b"\1" * 16, "1": struct.pack("<4d", 1, 1, 1, 1), "2": longs(0, 0, 0, 0)}

    def of(quantizer: bytes, size: Any = (4, 4), stride: Any = (4, 1)) -> b.Raw:
        return b.call(QTENSOR, store, 0, size, stride, b.Raw(quantizer), False, b.EMPTY_HOOKS)

    yield "outside", of(b.tup(affine, 0.5, 0), (5, 4)), more
    yield "axis-outside", of(b.tup(channel, scales, zeros, 7)), more
    yield "axis-negative", of(b.tup(channel, scales, zeros, -9)), more
    yield "scales-short", of(b.tup(channel, scales, zeros, 0), (8, 2), (2, 1)), more
    yield "scheme-unknown", of(b.tup(b.name("torch", "evil_affine"), 0.5, 0)), more
    yield "scheme-text", of(b.tup("per_tensor_affine", 0.5, 0)), more
    yield "scale-text", of(b.tup(affine, "half", "zero")), more
    yield "empty", of(b.tup()), more
    yield "zero-point-huge", of(b.tup(affine, 0.5, 2**70)), more


def cases() -> Iterator[Case]:
    """One tensor a file; ``refused`` means that it must not come out."""
    soft = {
        "sparse indices": {"coo-float-indices", "layout-unknown"},
        "storage size": {"unknown-class"},
    }
    # A descending storage id or a strange quantizer may also come back as an inert record.
    for group, rows in (
        ("tensor bounds", _bounds()), ("storage size", _storages()), ("sparse indices", _sparse()),
        ("quantized indices", _quantized()),
    ):  # fmt: skip
        for title, body, storages in rows:
            data = torch_zip(b.stream(b.const({"w": b.Raw(body)})), storages)
            must = group != "quantized indices" and title not in soft.get(group, ())
            which = "short record" if "record" in title else group
            slug = f"{group}-{title}".replace(" ", "-")
            outcome = "refused" if must or title == "outside" else "any"
            yield Case(slug, which, file_of(data), outcome=outcome)

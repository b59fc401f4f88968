"""Allowed calls with arguments that would hurt: memory, time, or the type they are supposed to be."""

from __future__ import annotations

import pickle as p
import struct
from collections.abc import Iterator

from tests.attacks import build_pickle as b
from tests.attacks.build_zip import torch_zip
from tests.attacks.case import Case, file_of

GROUP = "argument of an allowed call"
ORDERED = b.name("collections", "OrderedDict")
BYTEARRAY = b.name("builtins", "bytearray")
RECONSTRUCT = b.name("numpy.core.multiarray", "_reconstruct")
SCALAR = b.name("numpy.core.multiarray", "scalar")
DTYPE = b.name("numpy", "dtype")
NDARRAY = b.name("numpy", "ndarray")
SET = b.name("builtins", "set")
ENCODE = b.name("_codecs", "encode")
SIZE = b.name("torch", "Size")
DEVICE = b.name("torch", "device")
FLOAT32 = b.name("torch", "float32")
MANY = "9" * 1_000_000


def _builtins() -> dict[str, bytes]:
    fraction = b.name("fractions", "Fraction")
    return {
        "bytearray-huge": b.call(BYTEARRAY, 2**60),
        "bytearray-negative": b.call(BYTEARRAY, -1),
        "bytearray-codec": b.call(BYTEARRAY, "x", "no-such-codec"),
        "bytes-huge": b.call(b.name("builtins", "bytes"), 2**60),
        "range-huge": b.call(b.name("builtins", "range"), 2**70),
        "list-of-range": b.call(
            b.name("builtins", "list"), b.call(b.name("builtins", "range"), 2**40)
        ),
        "set-of-range": b.call(SET, b.call(b.name("builtins", "range"), 2**40)),
        "set-of-lists": b.call(SET, [[], []]),
        "set-of-int": b.call(SET, 5),
        "set-of-itself": SET + b.put(0) + b.tup() + p.REDUCE + p.MARK + b.get(0) + p.ADDITEMS,
        "frozenset-of-dict": b.call(b.name("builtins", "frozenset"), [{}]),
        "complex-of-text": b.call(b.name("builtins", "complex"), MANY),
        "complex-three": b.call(b.name("builtins", "complex"), 1, 2, 3),
        "int-of-text": b.call(b.name("builtins", "int"), MANY),
        "float-of-text": b.call(b.name("builtins", "float"), MANY),
        "str-of-huge-int": b.call(b.name("builtins", "str"), 1 << 800_000),
        "slice-of-names": b.call(b.name("builtins", "slice"), SET, SET, SET),
        "slice-none": b.call(b.name("builtins", "slice")),
        "decimal-long": b.call(b.name("decimal", "Decimal"), MANY),
        "decimal-exponent": b.call(b.name("decimal", "Decimal"), "1e999999999999"),
        "fraction-long": b.call(fraction, f"{MANY}/3"),
        "fraction-zero": b.call(fraction, 1, 0),
        "datetime-bytes": b.call(b.name("datetime", "datetime"), b"\xff" * 10),
        "datetime-short": b.call(b.name("datetime", "datetime"), b""),
        "datetime-nested-zone": b.call(b.name("datetime", "timezone"), "zone"),
        "timedelta-huge": b.call(b.name("datetime", "timedelta"), 10**30, 0, 0),
        "path-nul": b.call(b.name("pathlib", "PosixPath"), "/", "a\0b", "../.."),
        "path-of-int": b.call(b.name("pathlib", "PosixPath"), 5),
        "uuid-junk": b.build(b.new(b.name("uuid", "UUID")), {"int": -1}),
        "deque-maxlen": b.call(b.name("collections", "deque"), [1], 2**62),
        "deque-negative": b.call(b.name("collections", "deque"), [1], -2),
        "counter-of-int": b.call(b.name("collections", "Counter"), 5),
        "defaultdict-of-int": b.call(b.name("collections", "defaultdict"), 5),
        "ordered-of-int": b.call(ORDERED, 5),
        "ordered-of-triples": b.call(ORDERED, [(1, 2, 3)]),
        "ordered-of-text": b.call(ORDERED, "ab"),
        "ordered-set-items-odd": ORDERED + b.tup() + p.REDUCE + p.MARK + p.NONE + p.SETITEMS,
        "ordered-append": ORDERED + b.tup() + p.REDUCE + p.NONE + p.APPEND,
        "ordered-build-junk": b.build(b.call(ORDERED), [1, 2]),
        "ordered-build-class": b.build(b.call(ORDERED), {"__class__": 1, "__dict__": 2}),
        "random-state": b.call(b.name("random", "Random"), MANY),
        "enum-of-enum": b.call(b.name("enum", "Enum"), "X", "a b c"),
        "namespace-args": b.call(b.name("argparse", "Namespace"), 1, 2, 3),
        "encode-odd-codec": b.call(ENCODE, "x", "rot13"),
        "encode-zip-codec": b.call(ENCODE, "x", "zlib"),
        "encode-unknown-codec": b.call(ENCODE, "x", "../../etc/passwd"),
        "encode-punycode": b.call(ENCODE, "a" * 200_000, "punycode"),
        "encode-idna": b.call(ENCODE, "a" * 200_000, "idna"),
        "encode-wide": b.call(ENCODE, "\u4e00", "latin1"),
        "encode-of-int": b.call(ENCODE, 5, "latin1"),
        "encode-bytes": b.call(ENCODE, b"x", "latin1"),
        "encode-lone-surrogate": b.call(ENCODE, "\ud800", "utf-8"),
        "encode-handler": b.call(ENCODE, "\ud800", "utf-8", "no-such-handler"),
    }


def _torch() -> dict[str, bytes]:
    layout = b.name("torch.serialization", "_get_layout")
    meta = b.name("torch._utils", "_rebuild_meta_tensor_no_storage")
    return {
        "device-junk": b.call(DEVICE, "rm -rf /", -1),
        "device-list": b.call(DEVICE, [[]]),
        "device-none": b.call(DEVICE),
        "device-index": b.call(DEVICE, "cuda", 2**80),
        "size-of-text": b.call(SIZE, "abc"),
        "size-of-names": b.call(SIZE, (SET, SET)),
        "size-huge": b.call(SIZE, (2**70, -1)),
        "size-two": b.call(SIZE, (1,), (2,)),
        "layout-junk": b.call(layout, "torch.evil"),
        "layout-number": b.call(layout, 5),
        "meta-huge": b.call(meta, FLOAT32, (2**62, 2**62), (1, 1), False),
        "meta-negative": b.call(meta, FLOAT32, (-4,), (1,), False),
        "meta-no-dtype": b.call(meta, "float32", (4,), (1,), False),
        "parameter-of-int": b.call(b.name("torch._utils", "_rebuild_parameter"), 5, True, b.EMPTY_HOOKS),
        "parameter-few": b.call(b.name("torch._utils", "_rebuild_parameter")),
        "parameter-state": b.call(
            b.name("torch._utils", "_rebuild_parameter_with_state"), b.tensor(), True, b.EMPTY_HOOKS, 5
        ),
        "tensor-few": b.call(b.name("torch._utils", "_rebuild_tensor_v2"), b.storage()),
        "tensor-many": b.call(b.name("torch._utils", "_rebuild_tensor_v2"), *range(30)),
        "tensor-no-storage": b.call(
            b.name("torch._utils", "_rebuild_tensor_v2"), 1, 0, (4,), (1,), False, b.EMPTY_HOOKS
        ),
        "tensor-build": b.build(b.tensor(), {"data": 1, "grad": [1], "__class__": 5}),
        "tensor-build-tuple": b.build(b.tensor(), (1, 2, 3)),
        "tensor-append": b.tensor() + p.NONE + p.APPEND,
        "storage-called": b.call(b.storage(), 1),
        "dtype-called": b.call(FLOAT32, 1),
        "number-called": b.call(b.const(1), 1),
        "string-called": b.call(b.const("os.system"), b.SHELL),
        "reduce-no-tuple": SET + b.const(1) + p.REDUCE,
        "newobj-no-tuple": SET + b.const(1) + p.NEWOBJ,
        "newobj-of-number": b.const(1) + b.tup() + p.NEWOBJ,
        "newobj-ex-no-dict": SET + b.tup() + b.const(1) + p.NEWOBJ_EX,
        "build-of-number": b.const(1) + b.const({}) + p.BUILD,
        "build-of-dict": b.const({}) + b.const({"a": 1}) + p.BUILD,
        "rebuild-metadata": b.call(
            b.name("torch._utils", "_rebuild_tensor_v2"), b.storage(), 0, (4,), (1,), False, b.EMPTY_HOOKS, 5
        ),
        "v3-no-dtype": b.call(
            b.name("torch._utils", "_rebuild_tensor_v3"), b.storage(kind="UntypedStorage", numel=16), 0, (4,),
            (1,), False, b.EMPTY_HOOKS, "os.system",
        ),
    }  # fmt: skip


def _numpy() -> dict[str, bytes]:
    def array(state: bytes) -> b.Raw:
        made = b.call(RECONSTRUCT, NDARRAY, (0,), b"b")
        return b.Raw(made + state + p.BUILD)

    def dtype(code: str, *state: object) -> b.Raw:
        made = b.call(DTYPE, code, False, True)
        return b.Raw(made + (b.tup(*state) + p.BUILD if state else b""))

    f4 = dtype("f4", 3, "<", None, None, None, -1, -1, 0)
    nested = dtype("f4")
    for _ in range(300):
        nested = b.call(DTYPE, b.Raw(b.tup(nested, (2,))))
    fields = b.const({"a": (f4, 0), "b": (f4, 2**40)})
    return {
        "numpy-object": array(b.tup(1, (2,), dtype("O", 3, "|", None, None, None, -1, -1, 63), False, [1, b.os_system()])),
        "numpy-object-bytes": array(b.tup(1, (1,), dtype("O", 3, "|", None, None, None, -1, -1, 63), False, b"\x41" * 8)),
        "numpy-short-bytes": array(b.tup(1, (100,), f4, False, b"1234")),
        "numpy-long-bytes": array(b.tup(1, (1,), f4, False, b"1234" * 5)),
        "numpy-huge-shape": array(b.tup(1, (2**62, 2**62), f4, False, b"")),
        "numpy-negative-shape": array(b.tup(1, (-1,), f4, False, b"1234")),
        "numpy-rank": array(b.tup(1, tuple([1] * 5000), f4, False, b"1234")),
        "numpy-zero-times-huge": array(b.tup(1, (0, 2**62), f4, False, b"")),
        "numpy-state-text": array(b.tup(1, "abc", f4, False, b"1234")),
        "numpy-state-few": array(b.tup(1)),
        "numpy-no-dtype": array(b.tup(1, (1,), "f4", False, b"1234")),
        "numpy-dtype-junk": array(b.tup(1, (1,), dtype("%s%n; import os"), False, b"1234")),
        "numpy-dtype-itemsize": array(b.tup(1, (1,), dtype("V8", 3, "|", None, None, None, 2**60, 1, 0), False, b"")),
        "numpy-dtype-zero": array(b.tup(1, (2**40,), dtype("V0", 3, "|", None, None, None, 0, 1, 0), False, b"")),
        "numpy-dtype-negative": array(b.tup(1, (1,), dtype("V8", 3, "|", None, None, None, -8, 1, 0), False, b"1234")),
        "numpy-dtype-fields": array(b.tup(1, (1,), dtype("V8", 3, "|", None, ("a", "b"), b.Raw(fields), 8, 1, 0), False, b"12345678")),
        "numpy-dtype-nested": array(b.tup(1, (1,), nested, False, b"1234")),
        "numpy-dtype-byteorder": array(b.tup(1, (1,), dtype("f4", 3, "?!", None, None, None, -1, -1, 0), False, b"1234")),
        "numpy-reconstruct-class": b.call(RECONSTRUCT, b.name("numpy", "matrix"), (0,), b"b"),
        "numpy-reconstruct-text": b.call(RECONSTRUCT, "ndarray", "x", "y"),
        "numpy-scalar-object": b.call(SCALAR, dtype("O", 3, "|", None, None, None, -1, -1, 63), b.os_system()),
        "numpy-scalar-short": b.call(SCALAR, dtype("f8"), b"12"),
        "numpy-scalar-few": b.call(SCALAR),
        "numpy-scalar-pickled": b.call(SCALAR, dtype("O"), b.stream(b.os_system())),
        "numpy-frombuffer": b.call(b.name("numpy._core.numeric", "_frombuffer"), b"1234", b.call(DTYPE, "f4"), (2**60,), "C"),
        "numpy-rng": b.call(b.name("numpy.random._pickle", "__randomstate_ctor"), "os.system"),
    }  # fmt: skip


def cases() -> Iterator[Case]:
    """Each as a value beside an honest tensor in a torch zip."""
    for title, body in {**_builtins(), **_torch()}.items():
        data = b.state_dict(weight=b.tensor(), x=b.Raw(body))
        yield Case(f"allowed-{title}", GROUP, file_of(torch_zip(data)))
    for title, body in _numpy().items():
        group = "numpy object array" if "object" in title else GROUP
        data = b.stream(b.const({"x": b.Raw(body)}), 3)
        names = (
            (("posix", "system"),) if b"posix\nsystem" in body and "pickled" not in title else ()
        )
        yield Case(
            f"allowed-{title}",
            group,
            file_of(torch_zip(data)),
            names=names,
            alarm=True if names else None,
        )
    for name, kind in (("deflate", "Q"), ("inflate", "q")):
        state = b.Raw(b.blob(struct.pack(f"<{kind}", 5)))
        data = b.stream(b.call(BYTEARRAY, state, state, state), 3)
        yield Case(f"allowed-bytearray-three-{name}", GROUP, file_of(data, ".pkl"))

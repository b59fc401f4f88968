"""Compare a node tree, leaf by leaf and bit by bit, with the live value torch made of the same bytes."""

import ast
import collections
import datetime as dt
import decimal
import enum
import fractions
import pathlib
import struct
import types
import uuid

import numpy as np
import torch

from ckptkit.containers.logical import logical_source
from ckptkit.nodes import Atom, GlobalName, MapNode, Record, SeqNode, TensorNode

SEQUENCES = {
    list: "list",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    collections.deque: "deque",
    torch.Size: "torch.Size",
}
MAPPINGS = {
    dict: "dict",
    collections.OrderedDict: "OrderedDict",
    collections.defaultdict: "defaultdict",
    collections.Counter: "Counter",
}
TORCH_VALUES = {
    torch.dtype: "torch.dtype", torch.layout: "torch.layout",
    torch.memory_format: "torch.memory_format", torch.qscheme: "torch.qscheme",
}  # fmt: skip


def bytes_of(node):
    source = logical_source(node)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


def raw_of(tensor):
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


class Agreement:
    """One comparison; it also learns which storages are shared, on both sides, and compares that."""

    def __init__(self):
        self.leaves = 0
        self.storages = {}  # data pointer -> node storage
        self.met = {}

    def check(self, node, value, path="root"):
        self.leaves += 1
        key = (id(node), id(value))
        if key in self.met:
            return
        self.met[key] = (node, value)
        kind = type(value)
        if kind in MAPPINGS:
            self.mapping(node, value, path)
        elif kind in SEQUENCES:
            self.sequence(node, value, path)
        elif isinstance(value, torch.Tensor):
            self.tensor(node, value, path)
        elif isinstance(value, np.ndarray):
            self.array(node, value, path)
        elif isinstance(value, (np.generic, np.dtype)):
            self.numpy_value(node, value, path)
        elif kind in TORCH_VALUES:
            assert (node.kind, node.args) == (
                TORCH_VALUES[kind],
                (str(value).removeprefix("torch."),),
            ), path
        elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            assert type(node) is GlobalName, path
            assert node.qualname == value.__qualname__, path
        elif value is None or kind in (bool, int, str, bytes):
            assert type(node) is kind, path
            assert node == value, path
        elif kind is float:
            assert type(node) is float, path
            assert struct.pack("<d", node) == struct.pack("<d", value), path
        elif kind is complex:
            assert struct.pack("<2d", node.real, node.imag) == struct.pack(
                "<2d", value.real, value.imag
            ), path
        elif (atom := self.atom(value)) is not None:
            self.is_atom(node, atom, path)
        else:
            self.object(node, value, path)

    def mapping(self, node, value, path):
        assert type(node) is MapNode, path
        assert node.kind == MAPPINGS[type(value)], path
        assert len(node) == len(value), path
        for (key, child), (want_key, want) in zip(node.items(), value.items(), strict=True):
            self.check(key, want_key, f"{path} key")
            self.check(child, want, f"{path}/{want_key!r}")
        if type(value) is collections.defaultdict:
            self.check(node.factory, value.default_factory, f"{path} factory")
        attributes = vars(value) if type(value) is collections.OrderedDict else {}
        assert len(node.attrs or ()) == len(attributes), path
        for name, want in attributes.items():
            self.check(node.attrs[name], want, f"{path}.{name}")

    def sequence(self, node, value, path):
        assert type(node) is SeqNode, path
        assert node.kind == SEQUENCES[type(value)], path
        assert len(node) == len(value), path
        if isinstance(value, (set, frozenset)):
            return self.members(node, value, path)
        for index, (child, want) in enumerate(zip(node.items, value, strict=True)):
            self.check(child, want, f"{path}[{index}]")
        if isinstance(value, collections.deque):
            assert (node.attrs.get("maxlen") if node.attrs else None) == value.maxlen, path
        return None

    def members(self, node, value, path):
        keys = MapNode([(item, None) for item in node.items])
        assert len(keys) == len(value), path
        for item in value:
            if isinstance(item, (str, int, float, bytes, type(None))):
                assert item in keys, (path, item)

    def tensor(self, node, value, path):
        if value.layout is not torch.strided:
            return self.sparse(node, value, path)
        assert type(node) is TensorNode, (path, node)
        assert node.dtype.name == str(value.dtype).removeprefix("torch."), path
        assert node.shape == tuple(value.shape), path
        assert node.strides == value.stride(), path
        assert node.requires_grad == value.requires_grad, path
        assert (node.conj, node.neg) == (value.is_conj(), value.is_neg()), path
        if value.device.type == "meta":
            assert node.flavour == "meta", path
            assert node.storage.source is None, path
            return None
        assert node.flavour == (
            "parameter" if isinstance(value, torch.nn.Parameter) else "tensor"
        ), path
        if value.is_quantized:
            self.quantizer(node, value, path)
            value = (
                value.int_repr().as_strided(value.shape, value.stride())
                if value.numel()
                else value.int_repr()
            )
        else:
            self.shares(node, value, path)
        assert bytes_of(node) == raw_of(value), path
        if vars(value):
            self.check(node.extra["state"], vars(value), f"{path} attributes")
        return None

    def shares(self, node, value, path):
        assert node.offset == value.storage_offset(), path
        pointer = value.untyped_storage().data_ptr()
        if pointer:
            assert self.storages.setdefault(pointer, node.storage) is node.storage, path
            assert node.storage.nbytes == value.untyped_storage().nbytes(), path

    def quantizer(self, node, value, path):
        parts = node.extra["quantizer"].items
        self.check(
            parts[0],
            value.qscheme()
            if value.qscheme() == torch.per_tensor_affine
            else torch.per_channel_affine,
            path,
        )
        if value.qscheme() == torch.per_tensor_affine:
            self.check(parts[1], value.q_scale(), path)
            self.check(parts[2], value.q_zero_point(), path)
        else:
            assert bytes_of(parts[1]) == raw_of(value.q_per_channel_scales()), path
            assert bytes_of(parts[2]) == raw_of(value.q_per_channel_zero_points()), path
            assert parts[3] == value.q_per_channel_axis(), path

    def sparse(self, node, value, path):
        assert isinstance(node, Record), path
        assert node.name.qualname == "_rebuild_sparse_tensor", path
        layout, parts = node.args
        self.check(layout, value.layout, path)
        if value.layout is torch.sparse_coo:
            live = [value._indices(), value._values(), value.shape, value.is_coalesced()]
        elif value.layout in (torch.sparse_csr, torch.sparse_bsr):
            live = [value.crow_indices(), value.col_indices(), value.values(), value.shape]
        else:
            live = [value.ccol_indices(), value.row_indices(), value.values(), value.shape]
        for index, (part, want) in enumerate(zip(parts.items, live, strict=True)):
            if isinstance(want, torch.Tensor):  # torch makes the parts contiguous while it loads
                assert part.shape == tuple(want.shape), (path, index)
                assert bytes_of(part) == raw_of(want), (path, index)
                assert (part.rule is not None) == (
                    index < (1 if value.layout is torch.sparse_coo else 2)
                ), path
            else:
                self.check(part, want, f"{path} part {index}")

    def array(self, node, value, path):
        if value.dtype.hasobject:
            assert isinstance(node, Record), path
            return self.check(node.state.items[4], value.ravel(order="K").tolist(), path)
        assert type(node) is TensorNode, path
        assert node.flavour == "ndarray", path
        little = value.astype(value.dtype.newbyteorder("<")) if not node.numpy_dtype else value
        assert bytes_of(node) == np.ascontiguousarray(little).tobytes(), path
        if node.numpy_dtype:
            assert numpy_dtype(node.numpy_dtype) == value.dtype, path
            assert node.shape == (*value.shape, value.dtype.itemsize), path
        else:
            assert node.dtype.name == value.dtype.name, path
            assert node.shape == value.shape, path
            if value.size:
                assert (
                    node.strides == tuple(step // value.itemsize for step in value.strides)
                    or 1 in value.shape
                ), path
        return None

    def numpy_value(self, node, value, path):
        assert type(node) is Atom, path
        dtype = value if isinstance(value, np.dtype) else value.dtype
        assert numpy_dtype(node.args[0]) == dtype, path
        if isinstance(value, np.generic):
            assert (node.kind, node.args[1]) == ("numpy.scalar", value.tobytes()), path

    def atom(self, value):
        kind = type(value)
        if kind is bytearray:
            return "bytearray", (bytes(value),)
        if kind in (slice, range):
            return kind.__name__, (value.start, value.stop, value.step)
        if kind is torch.device:
            return "torch.device", (value.type,) if value.index is None else (
                value.type,
                value.index,
            )
        if isinstance(value, pathlib.PurePath):
            return kind.__name__, (str(value),)
        if kind is dt.datetime:
            d = value
            return "datetime", (
                d.year,
                d.month,
                d.day,
                d.hour,
                d.minute,
                d.second,
                d.microsecond,
                d.fold,
                d.tzinfo,
            )
        if kind is dt.date:
            return "date", (value.year, value.month, value.day)
        if kind is dt.time:
            return "time", (
                value.hour,
                value.minute,
                value.second,
                value.microsecond,
                value.fold,
                value.tzinfo,
            )
        if kind is dt.timedelta:
            return "timedelta", (value.days, value.seconds, value.microseconds)
        if kind is dt.timezone:
            name = value.__getinitargs__()[1] if len(value.__getinitargs__()) == 2 else None
            return "timezone", (value.utcoffset(None), name)
        plain = {decimal.Decimal: ("decimal", str), uuid.UUID: ("uuid", lambda u: u.int)}
        if kind in plain:
            return plain[kind][0], (plain[kind][1](value),)
        if kind is fractions.Fraction:
            return "fraction", (value.numerator, value.denominator)
        return (
            ("ellipsis", ())
            if value is ...
            else ("notimplemented", ())
            if value is NotImplemented
            else None
        )

    def is_atom(self, node, atom, path):
        assert type(node) is Atom, (path, node)
        assert node.kind == atom[0], (path, node)
        assert len(node.args) == len(atom[1]), path
        for part, want in zip(node.args, atom[1], strict=True):
            self.check(part, want, path)

    def object(self, node, value, path):
        assert isinstance(node, Record), (path, node, type(value))
        if isinstance(value, enum.Enum):
            assert node.name.qualname == type(value).__qualname__, path
            return self.check(node.args[0], value.value, path)
        names = {node.name.qualname, *(a.qualname for a in node.args if type(a) is GlobalName)}
        assert type(value).__qualname__ in names, (path, names)
        for name, want in vars(value).items():
            self.check(node.state[name], want, f"{path}.{name}")
        return None


def numpy_dtype(text):
    return np.dtype(ast.literal_eval(text) if text[0] in "({[" else text)


def agree(node, value):
    """Assert that the two are the same; return how many leaves and branches were compared."""
    found = Agreement()
    found.check(node, value)
    return found.leaves

"""The table of known names: exact pairs, never prefixes, each with what its call stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ckptkit.containers import rebuild_builtin as builtin
from ckptkit.containers import rebuild_dates as small
from ckptkit.containers import rebuild_numpy as numpy
from ckptkit.containers import rebuild_sparse as sparse
from ckptkit.containers import rebuild_tensor as tensor
from ckptkit.containers.pickle_machine import Machine
from ckptkit.containers.rebuild_dtype import rebuild_dtype
from ckptkit.containers.rebuild_nested import rebuild_from_bytes
from ckptkit.nodes import Node
from ckptkit.types import DTYPES

# Gets the arguments of one call and returns its value, or NotImplemented for "stays a Record".
Rebuild: TypeAlias = Callable[[Machine, list[Node]], Node]
Name: TypeAlias = tuple[str, str]

_MODULES = {  # one thing that went by several names in the course of time
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "pathlib._local": "pathlib",
}


def canonical(module: str, qualname: str) -> Name:
    """The pair under which the tables know a name."""
    return _MODULES.get(module, module), qualname


def value_of(module: str, qualname: str) -> tuple[str, tuple[Node, ...]] | None:
    """The (kind, args) of the atom that a name stands for, or None."""
    if qualname in _LOST_FORMATS:
        return "torch.memory_format", (qualname[6:],)
    return VALUES.get(canonical(module, qualname))


_FORMATS = ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format")
# pickle looks for the home of a memory format, and finds it in whatever module imported torch.
_LOST_FORMATS = frozenset(f"torch.{name}" for name in _FORMATS)

_DTYPE_ALIASES = {
    "half": "float16", "float": "float32", "double": "float64", "short": "int16",
    "int": "int32", "long": "int64", "chalf": "complex32", "cfloat": "complex64",
    "cdouble": "complex128",
}  # fmt: skip

VALUES: dict[Name, tuple[str, tuple[Node, ...]]] = {
    **{("torch", name): ("torch.dtype", (name,)) for name in DTYPES},
    **{("torch", alias): ("torch.dtype", (name,)) for alias, name in _DTYPE_ALIASES.items()},
    **{
        ("torch", name): ("torch.layout", (name,))
        for name in (
            "strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc",
            "_mkldnn", "jagged",
        )
    },
    **{("torch", name): ("torch.memory_format", (name,)) for name in _FORMATS},
    **{
        ("torch", name): ("torch.qscheme", (name,))
        for name in (
            "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine",
            "per_channel_symmetric", "per_channel_affine_float_qparams",
        )
    },
    ("builtins", "Ellipsis"): ("ellipsis", ()),
    ("builtins", "NotImplemented"): ("notimplemented", ()),
}  # fmt: skip

_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")

CALLS: dict[Name, Rebuild] = {
    ("torch._utils", "_rebuild_tensor"): tensor.rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): tensor.rebuild_tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): tensor.rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): tensor.rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): tensor.rebuild_parameter,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): tensor.rebuild_meta,
    ("torch._utils", "_rebuild_qtensor"): tensor.rebuild_quantized,
    ("torch._utils", "_rebuild_sparse_tensor"): sparse.rebuild_sparse,
    ("torch._utils", "_rebuild_sparse_csr_tensor"): sparse.rebuild_sparse,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): sparse.rebuild_on_device,
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): sparse.rebuild_on_device,
    ("torch._utils", "_rebuild_xla_tensor"): sparse.rebuild_on_device,
    ("torch._tensor", "_rebuild_from_type_v2"): sparse.rebuild_from_type,
    ("torch.storage", "_load_from_bytes"): rebuild_from_bytes,
    ("torch", "Size"): small.size,
    ("torch", "device"): small.device,
    ("torch.serialization", "_get_layout"): small.layout,
    ("collections", "OrderedDict"): builtin.ordered_dict,
    ("collections", "defaultdict"): builtin.default_dict,
    ("collections", "Counter"): builtin.counter,
    ("collections", "deque"): builtin.deque,
    ("builtins", "set"): builtin.plain_set,
    ("builtins", "frozenset"): builtin.frozen_set,
    ("builtins", "list"): builtin.plain_list,
    ("builtins", "tuple"): builtin.plain_tuple,
    ("builtins", "dict"): builtin.plain_dict,
    ("builtins", "bytes"): builtin.plain_bytes,
    ("builtins", "bytearray"): builtin.byte_array,
    ("builtins", "complex"): builtin.plain_complex,
    ("builtins", "slice"): builtin.plain_slice,
    ("builtins", "range"): builtin.plain_range,
    ("builtins", "xrange"): builtin.plain_range,
    ("copyreg", "_reconstructor"): builtin.reconstructor,
    ("builtins", "getattr"): builtin.get_attribute,
    ("_codecs", "encode"): builtin.codecs_encode,
    ("datetime", "datetime"): small.date_time,
    ("datetime", "date"): small.date,
    ("datetime", "time"): small.time,
    ("datetime", "timedelta"): builtin.time_delta,
    ("datetime", "timezone"): small.time_zone,
    ("zoneinfo", "ZoneInfo._unpickle"): small.zone_info,
    ("decimal", "Decimal"): small.decimal,
    ("fractions", "Fraction"): small.fraction,
    **{("pathlib", name): builtin.path(name) for name in _PATHS},
    ("numpy", "dtype"): rebuild_dtype,
    ("numpy._core.multiarray", "_reconstruct"): numpy.rebuild_reconstruct,
    ("numpy._core.multiarray", "scalar"): numpy.rebuild_scalar,
    ("numpy._core.numeric", "_frombuffer"): numpy.rebuild_frombuffer,
}

NEWS: dict[Name, Rebuild] = {
    ("collections", "OrderedDict"): builtin.ordered_dict,
    ("collections", "defaultdict"): builtin.default_dict,
    ("collections", "Counter"): builtin.counter,
    ("uuid", "UUID"): builtin.uuid_new,
}

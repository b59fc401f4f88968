"""What torch itself says that a live value holds: the truth that honest files are judged by."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.attacks.case import Built, Case, Seen, seen

PROTOCOL = 2


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """The contiguous little-endian bytes of a dense tensor."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if plain.numel() == 0:
        return b""
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes()


def of_tensor(tensor: torch.Tensor) -> Iterator[Seen]:
    """One tensor, or the dense parts that a compound one consists of."""
    if tensor.device.type == "meta":
        return
    if tensor.layout is torch.sparse_coo:
        yield from of_tensor(tensor._indices())
        yield from of_tensor(tensor._values())
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        for part in (tensor.crow_indices(), tensor.col_indices(), tensor.values()):
            yield from of_tensor(part)
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        for part in (tensor.ccol_indices(), tensor.row_indices(), tensor.values()):
            yield from of_tensor(part)
    elif tensor.is_nested:
        parts = (tensor.values(), tensor._nested_tensor_size(), tensor._nested_tensor_strides())
        for part in (*parts, tensor._nested_tensor_storage_offsets()):
            yield from of_tensor(part)
    elif tensor.is_quantized:
        name = str(tensor.dtype).removeprefix("torch.")
        yield seen(name, tuple(tensor.shape), raw_bytes(tensor.int_repr()))
        if tensor.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams):
            yield from of_tensor(tensor.q_per_channel_scales())
            yield from of_tensor(tensor.q_per_channel_zero_points())
    else:
        yield seen(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), raw_bytes(tensor))


def of_storage(storage: Any) -> Iterator[Seen]:
    """A storage by itself counts as a flat tensor of its dtype, uint8 for one without."""
    flat = torch.tensor([], dtype=getattr(storage, "dtype", torch.uint8)).set_(storage)
    yield from of_tensor(flat)


def of_array(array: np.ndarray[Any, Any]) -> Iterator[Seen]:
    """A numpy array; one without a torch dtype counts as bytes with a last axis of an item."""
    if array.dtype.hasobject:
        yield from (row for item in array.reshape(-1).tolist() for row in of_value(item))
        return
    swapped = array.astype(array.dtype.newbyteorder("<")) if array.dtype.kind in "fiucMm" else array
    data = np.ascontiguousarray(swapped).tobytes()
    if (array.dtype.kind in "fiub" and array.dtype.itemsize <= 8) or array.dtype.name in (
        "complex64",
        "complex128",
    ):
        yield seen(array.dtype.name, array.shape, data)
    else:
        yield seen("uint8", (*array.shape, array.dtype.itemsize), data)


def of_value(root: Any) -> Iterator[Seen]:
    """Every tensor and array below a value; each object once, as pickle does."""
    met: dict[int, Any] = {}
    stack = [root]
    while stack:
        value = stack.pop()
        if id(value) in met or isinstance(value, (str, bytes, int, float, type, types.ModuleType)):
            continue
        met[id(value)] = value
        if isinstance(value, (torch.UntypedStorage, torch.TypedStorage)):
            yield from of_storage(value)  # no tensor, but bytes that must not be lost
        elif isinstance(value, torch.Tensor):
            yield from of_tensor(value)
            stack.extend(extra for extra in vars(value).values())
        elif isinstance(value, np.ma.MaskedArray):
            continue  # stored as two byte strings, which stay byte strings
        elif isinstance(value, np.ndarray):
            yield from of_array(value)
        elif isinstance(value, dict):
            stack.extend([*value.keys(), *value.values(), getattr(value, "__dict__", None)])
        elif isinstance(value, (list, tuple, set, frozenset)) or type(value).__name__ == "deque":
            stack.extend(value)
            stack.append(getattr(value, "__dict__", None))
        elif isinstance(value, torch.nn.Module) or (value is not None and not callable(value)):
            stack.extend(_stored_parts(value))


def _stored_parts(value: Any) -> list[Any]:
    """What pickle would store of an object: the truth for slots and for objects in C."""
    try:
        reduced = value.__reduce_ex__(PROTOCOL)
    except TypeError:
        return []
    return [] if isinstance(reduced, str) else list(reduced[1:3])


def expected(value: Any) -> tuple[Seen, ...]:
    """The multiset of everything below a value, sorted."""
    return tuple(sorted(of_value(value)))


@contextmanager
def quiet() -> Iterator[None]:
    """Old formats make torch warn; that is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def throw_away(name: str, source: str) -> Iterator[types.ModuleType]:
    """A module that exists only while a file is written: no reader can ever import it."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compile(source, f"<{name}>", "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[name]


Maker = Callable[[], Any]


def saved(make: Maker, name: str = "case.pt", **options: Any) -> Callable[[Path], Built]:
    """torch.save to a path."""

    def build(folder: Path) -> Built:
        with quiet():
            value = make()
            torch.save(value, folder / name, **options)
            return Built(folder / name, expected(value))

    return build


def honest(name: str, build: Callable[[Path], Built], group: str = "honest") -> Case:
    """A case that must be read exactly and raise no alarm."""
    return Case(f"honest-{name}", group, build, kind="honest", alarm=False, outcome="opened")

"""A pickle assembler: opcodes to bytes, with nothing checked, so that it can lie anywhere."""

from __future__ import annotations

import pickle as p
import struct
from typing import Any

#: A shell command and a line of Python that leave a trace, if anybody ever runs them.
SHELL = ': > "$CKPTKIT_CANARY"'
PYTHON = "import os; open(os.environ['CKPTKIT_CANARY'], 'w').close()"
EXPRESSION = "open(__import__('os').environ['CKPTKIT_CANARY'], 'w').close()"
CANARY_MODULE = "ckptkit_attack_canary"  # the judge puts it on sys.path; its import is recorded


def stream(body: bytes, protocol: int = 2) -> bytes:
    """Frame opcodes as a whole pickle."""
    head = p.PROTO + bytes([protocol]) if protocol >= 2 else b""
    return head + body + p.STOP


def text(value: str) -> bytes:
    """Push a string."""
    data = value.encode("utf-8", "surrogatepass")
    return p.BINUNICODE + struct.pack("<I", len(data)) + data


def blob(value: bytes) -> bytes:
    """Push bytes (protocol 3)."""
    return p.BINBYTES + struct.pack("<I", len(value)) + value


def integer(value: int) -> bytes:
    """Push an integer, in the shortest form that pickle itself would choose."""
    if 0 <= value < 256:
        return p.BININT1 + bytes([value])
    if -(1 << 31) <= value < 1 << 31:
        return p.BININT + struct.pack("<i", value)
    data = p.encode_long(value)
    if len(data) < 256:
        return p.LONG1 + bytes([len(data)]) + data
    return p.LONG4 + struct.pack("<i", len(data)) + data


def const(value: Any) -> bytes:
    """Push a constant; bytes that are already opcodes go in as ``Raw``."""
    if isinstance(value, Raw):
        return bytes(value)
    if value is None:
        return p.NONE
    if isinstance(value, bool):
        return p.NEWTRUE if value else p.NEWFALSE
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return p.BINFLOAT + struct.pack(">d", value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return blob(value)
    if isinstance(value, tuple):
        return tup(*value)
    if isinstance(value, list):
        return p.EMPTY_LIST + p.MARK + b"".join(map(const, value)) + p.APPENDS
    if isinstance(value, dict):
        pairs = b"".join(const(k) + const(v) for k, v in value.items())
        return p.EMPTY_DICT + p.MARK + pairs + p.SETITEMS
    raise TypeError(type(value))


class Raw(bytes):
    """Opcodes that stand where a constant could."""


def tup(*parts: Any) -> bytes:
    """Push a tuple."""
    return p.MARK + b"".join(map(const, parts)) + p.TUPLE


def name(module: str, qualname: str) -> Raw:
    """Push a name by GLOBAL."""
    return Raw(p.GLOBAL + f"{module}\n{qualname}\n".encode())


def stack_name(module: str, qualname: str) -> Raw:
    """Push a name by STACK_GLOBAL (protocol 4)."""
    return Raw(text(module) + text(qualname) + p.STACK_GLOBAL)


def call(function: bytes, *args: Any) -> Raw:
    """Call what ``function`` pushes, by REDUCE."""
    return Raw(function + tup(*args) + p.REDUCE)


def new(cls: bytes, *args: Any) -> Raw:
    """Make an object of a class, by NEWOBJ."""
    return Raw(cls + tup(*args) + p.NEWOBJ)


def build(obj: bytes, state: Any) -> Raw:
    """Set the state of what ``obj`` pushes, by BUILD."""
    return Raw(obj + const(state) + p.BUILD)


def put(index: int) -> bytes:
    """Remember the top of the stack."""
    return p.BINPUT + bytes([index]) if index < 256 else p.LONG_BINPUT + struct.pack("<I", index)


def get(index: int) -> Raw:
    """Push what was remembered."""
    if index < 256:
        return Raw(p.BINGET + bytes([index]))
    return Raw(p.LONG_BINGET + struct.pack("<I", index))


def os_system(command: str = SHELL) -> Raw:
    """The payload that everybody knows."""
    return call(name("posix", "system"), command)


def storage(
    key: Any = "0", numel: Any = 4, kind: str = "FloatStorage", location: Any = "cpu"
) -> Raw:
    """A storage of torch by its persistent id."""
    cls = name(*(("torch.storage", kind) if kind == "UntypedStorage" else ("torch", kind)))
    return Raw(tup("storage", cls, key, location, numel) + p.BINPERSID)


EMPTY_HOOKS = call(name("collections", "OrderedDict"))


def tensor(of: bytes | None = None, offset: Any = 0, size: Any = (4,), stride: Any = (1,)) -> Raw:
    """A plain tensor, as torch.save writes it since 0.4."""
    where = Raw(of if of is not None else storage())
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, where, offset, size, stride, False, EMPTY_HOOKS)


def state_dict(**values: Any) -> bytes:
    """A whole pickle of a dict with these values."""
    return stream(const(dict(values)))

"""What ``.metadata`` of a torch.distributed.checkpoint folder says, checked: items, boxes, paths.

Source: torch/distributed/checkpoint/metadata.py and filesystem.py (torch 2.0 to 2.13).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ckptkit.containers.safetensors_header import shown
from ckptkit.errors import CorruptFileError, LimitExceededError, TensorBoundsError
from ckptkit.nodes import Atom, GlobalName, MapNode, Node, Record, SeqNode
from ckptkit.types import DEFAULT_LIMITS, DTYPES, DType, Limits

_MODULE = "torch.distributed.checkpoint.metadata"
_STORAGE_MODULE = "torch.distributed.checkpoint.filesystem"
MAX_COUNT = (1 << 63) - 1


class Place(NamedTuple):
    """Where an item lies: a plain file name of the folder and the bytes in it."""

    file: str
    start: int
    nbytes: int


class Chunk(NamedTuple):
    """A box of a tensor. ``place`` is None only for a box without elements."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    place: Place | None


class TensorItem(NamedTuple):
    """A tensor in pieces; the boxes are not yet known to tile it."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    requires_grad: bool
    chunks: tuple[Chunk, ...]


class BytesItem(NamedTuple):
    """A plain object that was saved by torch.save."""

    name: str
    place: Place


class DcpMetadata(NamedTuple):
    """Everything that matters of a ``.metadata``; ``paths`` is None if it gives no nesting."""

    items: list[TensorItem | BytesItem]
    paths: dict[str, tuple[str | int, ...]] | None
    facts: MapNode


def interpret_metadata(node: Node, where: str, limits: Limits = DEFAULT_LIMITS) -> DcpMetadata:
    """Read the records of a ``.metadata`` pickle strictly, as data.

    Raises: CorruptFileError, TensorBoundsError, LimitExceededError.
    """
    fields = _fields(node, _MODULE, "Metadata", where)
    wanted = fields.get("state_dict_metadata")
    if not isinstance(wanted, MapNode):
        raise CorruptFileError(where, "has no state_dict_metadata", "a map of names to items")
    places = _places(fields.get("storage_data"), where)
    items = [_item(name, value, places, where, limits) for name, value in wanted.items()]
    kept = ("version", "storage_meta")
    facts = MapNode([(key, fields[key]) for key in kept if key in fields])
    return DcpMetadata(items, _paths(fields.get("planner_data"), where, limits), facts)


def _fields(node: Node, module: str, qualname: str, where: str) -> MapNode:
    """The attributes of a record, if it is of the class that must stand there."""
    if not isinstance(node, Record) or node.name != (module, qualname):
        raise CorruptFileError(where, f"holds {_kind(node)}", f"a {qualname} record")
    state = node.state
    if state is None and not node.args:
        return MapNode()
    if isinstance(state, MapNode):
        return state
    raise CorruptFileError(where, f"a {qualname} record has {_kind(state)} as state", "a map")


def _kind(node: Node) -> str:
    if isinstance(node, Record):
        return f"a record of {shown(node.name.text)}"
    if isinstance(node, GlobalName):
        return f"the name {shown(node.text)}"
    return f"a {type(node).__name__}"


def _counts(node: Node, where: str, limits: Limits) -> tuple[int, ...]:
    """The numbers of a torch.Size or a tuple."""
    if isinstance(node, Record) and node.name == ("torch", "Size") and len(node.args) == 1:
        node = node.args[0]
    if not isinstance(node, SeqNode) or node.kind not in ("torch.Size", "tuple", "list"):
        raise CorruptFileError(where, f"a size is {_kind(node)}", "a tuple of counts")
    if len(node) > limits.max_rank:
        expected = f"at most {limits.max_rank} (max_rank)"
        raise LimitExceededError(where, f"a tensor has {len(node)} dimensions", expected)
    for count in node.items:
        if type(count) is not int or not 0 <= count <= MAX_COUNT:
            raise TensorBoundsError(where, "a size holds a negative, huge or odd number", "counts")
    return tuple(node.items)


_Places = dict[tuple[str, tuple[int, ...] | None], Place]


def _places(node: Node, where: str) -> _Places:
    """Where each (name, offsets of the box) lies; offsets are None for a plain object."""
    if not isinstance(node, MapNode):
        raise CorruptFileError(where, "has no storage_data", "a map of items to places")
    found: _Places = {}
    for key, value in node.items():
        index = _fields(key, _MODULE, "MetadataIndex", where)
        name, offset = index.get("fqn"), index.get("offset")
        if type(name) is not str:
            raise CorruptFileError(where, "an item of storage_data has no name")
        offsets = None if offset is None else _counts(offset, where, DEFAULT_LIMITS)
        if (name, offsets) in found:
            raise CorruptFileError(where, f"'{shown(name)}' is placed twice")
        found[name, offsets] = _place(name, value, where)
    return found


def _place(name: str, node: Node, where: str) -> Place:
    info = _fields(node, _STORAGE_MODULE, "_StorageInfo", where)
    file, start, nbytes = info.get("relative_path"), info.get("offset"), info.get("length")
    if info.get("transform_descriptors"):
        seen = f"'{shown(name)}' was transformed as it was written"
        advice = "save it again without a stream transformation (compression)"
        raise CorruptFileError(where, seen, "plain items", advice)
    if type(file) is not str or type(start) is not int or type(nbytes) is not int:
        raise CorruptFileError(where, f"the place of '{shown(name)}' is incomplete")
    if not (0 <= start <= MAX_COUNT and 0 < nbytes <= MAX_COUNT):
        raise CorruptFileError(where, f"'{shown(name)}' lies at an impossible place")
    return Place(file, start, nbytes)


def _item(
    name: Node, node: Node, places: _Places, where: str, limits: Limits
) -> TensorItem | BytesItem:
    if type(name) is not str:
        raise CorruptFileError(where, f"an item is named by {_kind(name)}", "a string")
    if isinstance(node, Record) and node.name == (_MODULE, "BytesStorageMetadata"):
        place = places.get((name, None))
        if place is None:
            raise CorruptFileError(where, f"'{shown(name)}' lies nowhere", "a place in a file")
        return BytesItem(name, place)
    fields = _fields(node, _MODULE, "TensorStorageMetadata", where)
    shape = _counts(fields.get("size"), where, limits)
    chunks = fields.get("chunks")
    if not isinstance(chunks, SeqNode):
        raise CorruptFileError(where, f"'{shown(name)}' has no chunks")
    dtype, requires_grad = _properties(fields.get("properties"), name, where)
    boxes = tuple(_chunk(name, box, places, where, limits) for box in chunks.items)
    return TensorItem(name, dtype, shape, requires_grad, boxes)


def _chunk(name: str, node: Node, places: _Places, where: str, limits: Limits) -> Chunk:
    fields = _fields(node, _MODULE, "ChunkStorageMetadata", where)
    offsets = _counts(fields.get("offsets"), where, limits)
    sizes = _counts(fields.get("sizes"), where, limits)
    place = places.get((name, offsets))
    if place is None and 0 not in sizes:
        raise CorruptFileError(where, f"a chunk of '{shown(name)}' lies nowhere")
    return Chunk(offsets, sizes, place)


def _properties(node: Node, name: str, where: str) -> tuple[DType, bool]:
    """The dtype and requires_grad of TensorProperties: a tuple state, or a map in older files."""
    if not isinstance(node, Record) or node.name != (_MODULE, "TensorProperties"):
        raise CorruptFileError(where, f"'{shown(name)}' has no properties")
    state = node.state
    if isinstance(state, MapNode):
        raw, layout, requires_grad = (state.get(k) for k in ("dtype", "layout", "requires_grad"))
    elif isinstance(state, SeqNode) and len(state) >= 3:
        raw, layout, requires_grad = state.items[:3]
    else:
        raise CorruptFileError(where, f"the properties of '{shown(name)}' are incomplete")
    dtype = DTYPES.get(_torch_name(raw))
    if dtype is None:
        raise CorruptFileError(where, f"'{shown(name)}' has an unknown dtype ({_kind(raw)})")
    if _torch_name(layout) not in ("strided", ""):
        raise CorruptFileError(where, f"'{shown(name)}' is {shown(_torch_name(layout))}", "strided")
    return dtype, requires_grad is True


def _torch_name(node: Node) -> str:
    """The last part of a torch constant: ``float32``, ``strided``; "" if it is none."""
    if isinstance(node, GlobalName) and node.module == "torch":
        return node.qualname
    args = node.args if isinstance(node, (Atom, Record)) else ()
    if len(args) == 1 and type(args[0]) is str:
        return args[0].removeprefix("torch.")
    return ""


def _paths(node: Node, where: str, limits: Limits) -> dict[str, tuple[str | int, ...]] | None:
    """Where each name stands in the nested state, if the planner wrote that down."""
    if not isinstance(node, MapNode) or not len(node):
        return None
    found: dict[str, tuple[str | int, ...]] = {}
    for name, path in node.items():
        keys: list[Any] = path.items if isinstance(path, SeqNode) else []
        if type(name) is not str or not keys or any(type(key) not in (str, int) for key in keys):
            raise CorruptFileError(where, "planner_data is no map of names to paths")
        if len(keys) > limits.max_depth:
            raise LimitExceededError(where, f"a path has {len(keys)} parts")
        found[name] = tuple(keys)
    return found

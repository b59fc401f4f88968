"""torch.export archives (.pt2): their weights, by the table that names them."""

from __future__ import annotations

from typing import NoReturn

from ckptkit.containers.geometry import check_view
from ckptkit.containers.json_file import parse_json
from ckptkit.containers.torch_zip import archive_properties
from ckptkit.containers.zip_archive import ZipArchive
from ckptkit.errors import CorruptFileError
from ckptkit.nodes import BlobNode, MapNode, Node, SeqNode, Storage, TensorNode
from ckptkit.protocols import Opened, Probe
from ckptkit.types import DTYPES, DType, Notice

NAME = "torch-export"
_TABLES = (
    ("data/weights/", "model_weights_config.json"),
    ("data/constants/", "model_constants_config.json"),
)
# torch/_export/serde/schema.py, class ScalarType
_SCALAR_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64", 9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16",
    28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
}  # fmt: skip


def open_torch_export(archive: ZipArchive, probe: Probe) -> Opened:
    """The tree of an exported program: ``state_dict``, ``constants``, and its files unread.

    Raises: ContainerError.
    """
    tables = [_Weights(archive, folder, table) for folder, table in _TABLES]
    state, constants = (table.tensors() for table in tables)
    root = MapNode({"state_dict": state, "constants": constants})
    placed = {entry for table in tables for entry in table.placed}
    root["files"] = files = MapNode()
    for name, entry in archive.entries.items():
        if name not in placed and not name.endswith("/"):
            inner = name.removeprefix(archive.root)
            files[inner] = BlobNode(inner, entry.usize, archive.source(entry))
    message = "an exported program: its weights are read, its graph is kept unread"
    return Opened(
        path=probe.path,
        container=NAME,
        nbytes=archive.file.nbytes,
        root=root,
        properties=archive_properties(archive),
        notices=(*archive.notices, Notice("info", "exported-program", message)),
        checks=archive.checks,
        close=archive.file.close,
    )


class _Weights:
    """The tensors of one folder of the archive, by its JSON table."""

    def __init__(self, archive: ZipArchive, folder: str, table: str) -> None:
        self.archive, self.folder, self.table = archive, folder, folder + table
        self.placed: set[str] = set()
        self._storages: dict[str, Storage] = {}

    def tensors(self) -> MapNode:
        """Every tensor of the table by name; what is pickled stays a side file."""
        state = MapNode(kind="OrderedDict")
        if self.archive.entry(self.table) is None:
            return state
        table = parse_json(self.archive.read(self.table), self._where(), self.archive.limits)
        rows = table.get("config") if type(table) is MapNode else None
        if type(rows) is not MapNode:
            self._refuse("has no table")
        for name, row in rows.items():
            if type(row) is not MapNode or type(row.get("path_name")) is not str:
                self._refuse(f"does not say where {name[:100]!a} lies")
            if row.get("use_pickle") is False:
                state[name] = self._tensor(row)
        return state

    def _tensor(self, row: MapNode) -> TensorNode:
        meta = row.get("tensor_meta")
        if type(meta) is not MapNode:
            self._refuse("describes a tensor without saying how")
        dtype = self._dtype(meta.get("dtype"))
        shape, strides = (self._counts(meta.get(key)) for key in ("sizes", "strides"))
        offset = self._count(meta.get("storage_offset"))
        storage = self._storage(row["path_name"])
        check_view(dtype, offset, shape, strides, storage.nbytes, self._where())
        return TensorNode(
            dtype=dtype, shape=tuple(shape), strides=tuple(strides), offset=offset,
            storage=storage, flavour="parameter" if row.get("is_param") is True else "tensor",
            requires_grad=meta.get("requires_grad") is True,
        )  # fmt: skip

    def _storage(self, name: str) -> Storage:
        if name not in self._storages:
            entry = self.archive.entry(self.folder + name)
            if entry is None:
                self._refuse(f"names the record {name[:100]!a}, which is not there")
            self.placed.add(entry.name)
            self._storages[name] = Storage(
                name, entry.usize, self.archive.source(entry), "cpu", self.archive.byteorder()
            )
        return self._storages[name]

    def _dtype(self, code: Node) -> DType:
        name = _SCALAR_TYPES.get(code) if type(code) is int else None
        if name is None:
            self._refuse("names a dtype that no torch has")
        return DTYPES[name]

    def _counts(self, node: Node) -> list[Node]:
        if type(node) is not SeqNode:
            self._refuse("has a shape that is none")
        return [self._count(item) for item in node.items]

    def _count(self, node: Node) -> Node:
        return node.get("as_int") if type(node) is MapNode else None  # check_view refuses None

    def _where(self) -> str:
        return f"{self.archive.file.where}: {self.table}"

    def _refuse(self, seen: str) -> NoReturn:
        raise CorruptFileError(self._where(), f"the table of tensors {seen}")

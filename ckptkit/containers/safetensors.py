"""A safetensors file as a container: a map of names to lazy tensors, in the header's order."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.polyglot import polyglot_notices
from ckptkit.containers.safetensors_header import (
    DTYPE_OF_CODE,
    LENGTH_NBYTES,
    Header,
    HeaderEntry,
    parse_header,
)
from ckptkit.errors import CorruptFileError, LimitExceededError, TruncatedFileError
from ckptkit.nodes import MapNode, Node, SeqNode, Storage, TensorNode
from ckptkit.protocols import Check, Opened, OpenFile, Probe, StreamScan
from ckptkit.types import DEFAULT_LIMITS, DTYPES, Limits, Notice, contiguous_strides

DCP_SHARDING_KEY = "DCP_SHARDING_INFO"  # torch/distributed/checkpoint/hf_storage.py
NO_CHECKSUMS = "the format carries no checksums; its structure is whole"


class SafetensorsContainer:
    """A single ``.safetensors`` file, as the official library writes it.

    ``properties["metadata"]`` is its ``__metadata__``. A dtype without a name in torch (F6_E2M3,
    F6_E3M2, an F4 of odd width) comes as the raw bytes, one flat uint8 tensor, and
    ``extra`` says ``safetensors_dtype`` and ``safetensors_shape``.
    """

    name = "safetensors"
    title = "safetensors file"
    rank = 50

    def matches(self, probe: Probe) -> bool:
        """Say whether a length and then a JSON object begin the file; torn files match too."""
        return not probe.is_dir and looks_like_safetensors(probe.head)

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:  # noqa: ARG002
        """Read the header. Raises: ContainerError."""
        file = FileBytes(probe.path)
        try:
            header, data_start = read_header(file, limits)
            root = tensors_of(file, header, data_start)
        except BaseException:
            file.close()
            raise
        where = str(probe.path)

        def checks() -> Iterator[Check]:
            yield Check(probe.path.name, file.nbytes, "unverifiable", "structure", NO_CHECKSUMS)

        return Opened(
            path=probe.path,
            container=self.name,
            nbytes=file.nbytes,
            root=root,
            properties={"metadata": MapNode(header.metadata)},
            notices=(*header_notices(header, where), *polyglot_notices(file, self.name)),
            checks=checks,
            close=file.close,
        )

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """No pickle lies in such a file, unless it is another kind of file as well."""
        from ckptkit.containers.part_scan import header_scan
        from ckptkit.containers.zip_scan import scan_other_readings

        with FileBytes(probe.path) as file:
            yield from header_scan(file, "file", limits)
            yield from scan_other_readings(file, self.name, limits)


def looks_like_safetensors(head: bytes) -> bool:
    """Recognise the first bytes. A length that cannot be true still matches before '{"'."""
    if len(head) <= LENGTH_NBYTES or head[LENGTH_NBYTES : LENGTH_NBYTES + 1] != b"{":
        return False
    nbytes = int.from_bytes(head[:LENGTH_NBYTES], "little")
    start = head[LENGTH_NBYTES : LENGTH_NBYTES + 2]
    return nbytes <= DEFAULT_LIMITS.max_header_nbytes or start == b'{"'


def read_header(file: FileBytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Header, int]:
    """Read and check the header of an open file; also say where its data begins.

    Raises: ContainerError.
    """
    where = str(file.where)
    if file.nbytes < LENGTH_NBYTES + 2:
        raise TruncatedFileError(where, f"has {file.nbytes} bytes", "at least 10")
    nbytes = int.from_bytes(file.read(0, LENGTH_NBYTES), "little")
    if nbytes > limits.max_header_nbytes:
        expected = f"at most {limits.max_header_nbytes} (max_header_nbytes)"
        raise LimitExceededError(where, f"claims a header of {nbytes} bytes", expected)
    if nbytes < 2:
        raise CorruptFileError(where, f"claims a header of {nbytes} bytes", "at least '{}'")
    data_start = LENGTH_NBYTES + nbytes
    if data_start > file.nbytes:
        seen, expected = f"has {file.nbytes} bytes", f"a header that ends at {data_start}"
        advice = "the copy was cut short, so fetch it again"
        raise TruncatedFileError(where, seen, expected, advice)
    with paused_gc():
        data = file.read(LENGTH_NBYTES, nbytes)
        return parse_header(data, where, file.nbytes - data_start, limits), data_start


def tensors_of(file: FileBytes, header: Header, data_start: int) -> MapNode:
    """Make the lazy tensors that a checked header describes."""
    where = file.where
    root = MapNode()
    with paused_gc():
        for entry in header.entries:
            start, stop = data_start + entry.start, data_start + entry.stop
            storage = Storage(entry.name, stop - start, file.part(start, stop, where))
            root[entry.name] = tensor_of_entry(entry, storage)
    return root


def tensor_of_entry(entry: HeaderEntry, storage: Storage) -> TensorNode:
    """Make the lazy tensor of one description over its bytes."""
    dtype, shape, extra = DTYPE_OF_CODE.get(entry.code), entry.shape, None
    if entry.code == "F4" and shape and shape[-1] % 2 == 0:
        # Two elements lie in one byte, which is the element that torch counts.
        dtype, shape = DTYPES["float4_e2m1fn_x2"], (*shape[:-1], shape[-1] // 2)
    if dtype is None:
        dtype, shape = DTYPES["uint8"], (storage.nbytes,)
        parts: list[Node] = list(entry.shape)
        extra = MapNode({"safetensors_dtype": entry.code, "safetensors_shape": SeqNode(parts)})
    strides = contiguous_strides(shape)
    return TensorNode(
        dtype=dtype, shape=shape, strides=strides, offset=0, storage=storage, extra=extra
    )


def header_notices(header: Header, where: str) -> Iterator[Notice]:
    """Warn of names that would do something to a terminal, and of pieces of tensors."""
    odd = sum(1 for entry in header.entries if not entry.name.isprintable())
    if odd:
        message = f"{odd} tensor names hold control or invisible characters; they are shown escaped"
        yield Notice("warning", "odd-names", message, where)
    if DCP_SHARDING_KEY in header.metadata:
        message = (
            "written by torch.distributed.checkpoint: its tensors may be pieces of larger ones"
        )
        yield Notice("warning", "dcp-pieces", message, where)

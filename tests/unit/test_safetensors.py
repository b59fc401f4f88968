"""The safetensors container: chosen by content, lazy, strict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ckptkit.containers.logical import logical_source
from ckptkit.containers.probe import make_probe
from ckptkit.containers.safetensors import SafetensorsContainer
from ckptkit.containers.safetensors_header import dump_header
from ckptkit.errors import CkptkitError, CorruptFileError, LimitExceededError, TruncatedFileError
from ckptkit.nodes import TensorNode
from ckptkit.protocols import Opened
from ckptkit.types import DEFAULT_LIMITS, DTYPES, TensorSpec

CONTAINER = SafetensorsContainer()


def open_path(path: Path) -> Opened:
    probe = make_probe(path)
    assert CONTAINER.matches(probe)
    return CONTAINER.open(probe, DEFAULT_LIMITS, lambda _: pytest.fail("it has no inner files"))


def write(path: Path, fields: object, data: bytes, length: int | None = None) -> Path:
    header = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    path.write_bytes(
        (len(header) if length is None else length).to_bytes(8, "little") + header + data
    )
    return path


def content(tensor: TensorNode) -> bytes:
    source = logical_source(tensor)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


def test_four_bit_elements_come_as_the_pairs_that_torch_counts(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    packed = torch.arange(24, dtype=torch.uint8).reshape(4, 6)
    save_file({"t": packed.view(torch.float4_e2m1fn_x2)}, tmp_path / "f")
    opened = open_path(tmp_path / "f")
    tensor = opened.root["t"]
    assert (tensor.dtype.name, tensor.shape) == ("float4_e2m1fn_x2", (4, 6))
    assert content(tensor) == bytes(range(24))
    opened.close()


@pytest.mark.parametrize(
    ("code", "shape", "nbytes"), [("F4", [2, 3], 3), ("F6_E2M3", [4], 3), ("F6_E3M2", [2, 4], 6)]
)
def test_types_without_a_torch_dtype_come_raw_and_keep_their_name(
    tmp_path: Path, code: str, shape: list[int], nbytes: int
) -> None:
    data = bytes(range(nbytes))
    fields = {"t": {"dtype": code, "shape": shape, "data_offsets": [0, nbytes]}}
    opened = open_path(write(tmp_path / "f", fields, data))
    tensor = opened.root["t"]
    assert (tensor.dtype.name, tensor.shape) == ("uint8", (nbytes,))
    assert tensor.extra["safetensors_dtype"] == code
    assert tensor.extra["safetensors_shape"].items == shape
    assert content(tensor) == data
    opened.close()


def test_the_name_of_the_file_does_not_count_and_pickles_do_not_match(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    write(path, b"{}", b"")
    opened = open_path(path)
    assert len(opened.root) == 0
    assert [check.outcome for check in opened.checks()] == ["unverifiable"]
    assert list(CONTAINER.scan(make_probe(path), DEFAULT_LIMITS)) == []
    opened.close()
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x02}q\x00.")
    assert not CONTAINER.matches(make_probe(tmp_path / "x.safetensors"))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    header, spans = dump_header([TensorSpec("a", DTYPES["float32"], (4,))])
    whole = header + bytes(16)
    assert spans[0].stop == len(whole)
    for nbytes in range(9, len(whole)):
        path = tmp_path / "f"
        path.write_bytes(whole[:nbytes])
        with pytest.raises(TruncatedFileError):
            open_path(path)


def test_trailing_bytes_are_refused(tmp_path: Path) -> None:
    fields = {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
    with pytest.raises(CorruptFileError, match="behind the last tensor"):
        open_path(write(tmp_path / "f", fields, b"\0\0"))


@pytest.mark.parametrize("length", [0, 1, 100_000_001, 1 << 40, (1 << 64) - 1])
def test_a_lying_header_length_is_refused_before_anything_is_allocated(
    tmp_path: Path, length: int
) -> None:
    with pytest.raises((CorruptFileError, LimitExceededError)):
        open_path(write(tmp_path / "f", b'{"a":1}', b"", length))


def test_names_for_terminals_and_pieces_of_tensors_are_noticed(tmp_path: Path) -> None:
    fields = {
        "__metadata__": {"DCP_SHARDING_INFO": "{}"},
        "\x1b[31mred": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]},
    }
    opened = open_path(write(tmp_path / "f", fields, b""))
    assert {notice.code for notice in opened.notices} == {"odd-names", "dcp-pieces"}
    assert all(notice.message.isprintable() for notice in opened.notices)
    opened.close()


def test_a_zip_in_the_last_tensor_is_called_out(tmp_path: Path) -> None:
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n.")
    data = packed.getvalue()
    header, _ = dump_header([TensorSpec("a", DTYPES["uint8"], (len(data),))])
    (tmp_path / "f").write_bytes(header + data)
    opened = open_path(tmp_path / "f")
    assert [notice.code for notice in opened.notices] == ["polyglot"]
    assert next(iter(CONTAINER.scan(make_probe(tmp_path / "f"), DEFAULT_LIMITS))).notices
    opened.close()


def test_a_file_that_shrinks_after_opening_is_an_error_of_ours(tmp_path: Path) -> None:
    header, _ = dump_header([TensorSpec("a", DTYPES["uint8"], (1000,))])
    path = tmp_path / "f"
    path.write_bytes(header + bytes(1000))
    opened = open_path(path)
    with path.open("r+b") as file:
        file.truncate(len(header) + 10)
    with pytest.raises(CkptkitError):
        content(opened.root["a"])
    opened.close()

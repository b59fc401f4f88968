"""The open checkpoint as a program sees it."""

import pytest
import torch

import ckptkit
from ckptkit.errors import AmbiguousDialectError, NotFoundError, UnknownDialectError


@pytest.fixture
def path(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3)
    model = {"module.a": weight, "module.b": weight, "module.t": weight.t()}
    torch.save({"epoch": 1, "net": model, "meta": torch.empty(2, device="meta")}, tmp_path / "x.pt")
    return tmp_path / "x.pt"


def test_tensors_have_the_documents_names_and_stored_ones_the_files(path):
    with ckptkit.load(path) as checkpoint:
        assert [t.name for t in checkpoint.tensors("model")] == ["model/a", "model/b", "model/t"]
        assert [t.path for t in checkpoint.stored_tensors()][:2] == [
            ("net", "module.a"),
            ("net", "module.b"),
        ]
        assert len(list(checkpoint.tensors())) == 4


def test_reading_gives_contiguous_bytes_whatever_the_strides(path):
    with ckptkit.load(path) as checkpoint:
        by_name = {t.name: t for t in checkpoint.tensors()}
        turned = torch.arange(6.0).reshape(2, 3).t().contiguous().numpy().tobytes()
        assert by_name["model/t"].read() == turned
        part = bytearray(8)
        by_name["model/t"].read_into(memoryview(part), 4)
        assert bytes(part) == turned[4:12]
        assert (by_name["model/t"].dtype, by_name["model/t"].shape) == ("float32", (3, 2))


def test_a_meta_tensor_has_a_shape_and_no_bytes(path):
    with ckptkit.load(path) as checkpoint:
        meta = next(t for t in checkpoint.stored_tensors() if t.path == ("meta",))
        assert (meta.shape, meta.nbytes, meta.read()) == ((2,), 0, b"")


def test_a_section_that_is_not_there_has_no_tensors(path):
    with ckptkit.load(path) as checkpoint:
        assert list(checkpoint.tensors("optimizer")) == []


def test_a_dialect_can_be_named_and_a_wrong_name_is_told(path):
    with ckptkit.load(path, dialect="unknown") as checkpoint:
        assert list(checkpoint.document) == ["extra"]
    with pytest.raises(UnknownDialectError, match="bare"):
        ckptkit.load(path, dialect="nonsense")
    assert issubclass(AmbiguousDialectError, ckptkit.CkptkitError)


def test_nothing_there_is_said_so(tmp_path):
    with pytest.raises(NotFoundError):
        ckptkit.load(tmp_path / "none.pt")

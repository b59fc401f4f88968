"""A DCP folder that lies about itself is refused, at opening wherever that is possible."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptkit.errors import (
    CkptkitError,
    CorruptFileError,
    TensorBoundsError,
    TruncatedFileError,
    UnfinishedError,
    UnsafePathError,
)

torch = pytest.importorskip("torch")
from tests.unit.dcp_making import FolderMaker  # noqa: E402
from tests.unit.dcp_reading import live, open_folder  # noqa: E402


def _two_boxes(maker: FolderMaker) -> Any:
    maker.add_tensor("t", torch.arange(8.0), [((0,), (4,)), ((4,), (4,))])
    return maker.metadata.state_dict_metadata["t"]


def _infos(maker: FolderMaker) -> list[Any]:
    return list(maker.metadata.storage_data.values())


def _hole(maker: FolderMaker) -> None:
    _two_boxes(maker).chunks.pop()


def _overlap(maker: FolderMaker) -> None:
    maker.add_tensor("t", torch.arange(8.0), [((0,), (5,)), ((4,), (4,))])
    maker.metadata.state_dict_metadata["t"].size = torch.Size([9])


def _outside(maker: FolderMaker) -> None:
    _two_boxes(maker).size = torch.Size([6])


def _huge(maker: FolderMaker) -> None:
    tensor = _two_boxes(maker)
    tensor.size = torch.Size([1 << 62])
    tensor.chunks[:] = [type(tensor.chunks[0])(torch.Size([0]), torch.Size([1 << 62]))]


def _negative(maker: FolderMaker) -> None:
    tensor = _two_boxes(maker)
    tensor.chunks[0].offsets = torch.Size([-4])


def _rank_mismatch(maker: FolderMaker) -> None:
    _two_boxes(maker).size = torch.Size([2, 4])


def _traversal(maker: FolderMaker) -> None:
    _two_boxes(maker)
    _infos(maker)[0].relative_path = "../__0_0.distcp"


def _absolute(maker: FolderMaker) -> None:
    _two_boxes(maker)
    _infos(maker)[0].relative_path = "/etc/passwd"


def _beyond_the_end(maker: FolderMaker) -> None:
    _two_boxes(maker)
    _infos(maker)[0].offset = 1 << 40


def _negative_place(maker: FolderMaker) -> None:
    _two_boxes(maker)
    _infos(maker)[0].offset = -1


def _shared_bytes(maker: FolderMaker) -> None:
    _two_boxes(maker)
    first, second = _infos(maker)
    second.relative_path, second.offset = first.relative_path, first.offset


def _transformed(maker: FolderMaker) -> None:
    _two_boxes(maker)
    _infos(maker)[0].transform_descriptors = ["zstd"]


def _missing_shard(maker: FolderMaker) -> None:
    _two_boxes(maker)
    _infos(maker)[0].relative_path = "__9_0.distcp"


def _two_leaves_at_one_place(maker: FolderMaker) -> None:
    maker.add_object("a", 1, ("x", "y"))
    maker.add_object("b", 2, ("x", "y"))


def _leaf_inside_a_leaf(maker: FolderMaker) -> None:
    maker.add_object("a", {"y": 1}, ("x",))
    maker.add_object("b", 2, ("x", "z"))


def _not_metadata(maker: FolderMaker) -> None:
    maker.metadata = {"state_dict_metadata": {}}  # type: ignore[assignment]


LIES: dict[str, tuple[Callable[[FolderMaker], None], type[CkptkitError]]] = {
    "hole": (_hole, CorruptFileError),
    "overlap": (_overlap, CorruptFileError),
    "outside": (_outside, TensorBoundsError),
    "huge": (_huge, TensorBoundsError),
    "negative offset": (_negative, TensorBoundsError),
    "rank": (_rank_mismatch, TensorBoundsError),
    "traversal": (_traversal, UnsafePathError),
    "absolute": (_absolute, UnsafePathError),
    "beyond the end": (_beyond_the_end, TruncatedFileError),
    "negative place": (_negative_place, CorruptFileError),
    "shared bytes": (_shared_bytes, CorruptFileError),
    "transformed": (_transformed, CorruptFileError),
    "missing shard": (_missing_shard, CorruptFileError),
    "two leaves at one place": (_two_leaves_at_one_place, CorruptFileError),
    "a leaf inside a leaf": (_leaf_inside_a_leaf, CorruptFileError),
    "not metadata": (_not_metadata, CorruptFileError),
}


@pytest.mark.parametrize(("lie", "error"), LIES.values(), ids=LIES)
def test_metadata_that_lies_is_refused_at_opening(
    tmp_path: Path, lie: Callable[[FolderMaker], None], error: type[CkptkitError]
) -> None:
    maker = FolderMaker(tmp_path / "c")
    lie(maker)
    with pytest.raises(error):
        open_folder(maker.write())


@pytest.mark.parametrize(
    "stored", [torch.zeros(3), torch.zeros(4, dtype=torch.int32), {"a": 1}], ids=str
)
def test_a_chunk_that_is_not_what_the_metadata_says_is_refused_when_read(
    tmp_path: Path, stored: Any
) -> None:
    maker = FolderMaker(tmp_path / "c")
    _two_boxes(maker)
    place = next(iter(maker.metadata.storage_data))
    maker.metadata.storage_data[place] = maker.store(stored)
    opened = open_folder(maker.write())
    with pytest.raises(CorruptFileError):
        live(opened.root["t"])
    opened.close()


def test_a_flipped_byte_is_found_by_reading_and_by_checking(tmp_path: Path) -> None:
    maker = FolderMaker(tmp_path / "c")
    maker.add_tensor("t", torch.full((64,), 7.0), [((0,), (64,))])
    folder = maker.write()
    shard = folder / "__1_0.distcp"
    data = bytearray(shard.read_bytes())
    data[data.index(torch.full((64,), 7.0).numpy().tobytes()) + 5] ^= 1
    shard.write_bytes(data)
    opened = open_folder(folder)
    assert [(c.name, c.outcome) for c in opened.checks()] == [("__1_0.distcp: t", "damaged")]
    with pytest.raises(CkptkitError):
        live(opened.root["t"])
    opened.close()


def test_shards_without_metadata_are_an_unfinished_save(tmp_path: Path) -> None:
    maker = FolderMaker(tmp_path / "c")
    _two_boxes(maker)
    (maker.write() / ".metadata").unlink()
    with pytest.raises(UnfinishedError, match="written last"):
        open_folder(tmp_path / "c")


def test_no_damage_of_the_metadata_escapes_our_errors(tmp_path: Path) -> None:
    maker = FolderMaker(tmp_path / "c")
    _two_boxes(maker)
    maker.add_object("o", [1, 2], ("x", 0))
    folder = maker.write()
    whole = pickle.dumps(maker.metadata, protocol=4)
    random.seed(3)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(random.randint(1, 3)):
            data[random.randrange(len(data))] = random.randrange(256)
        (folder / ".metadata").write_bytes(
            data[: random.choice([None, random.randrange(len(data))])]
        )
        try:
            opened = open_folder(folder)
            live(opened.root)
            opened.close()
        except CkptkitError:
            pass

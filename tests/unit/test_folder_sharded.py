"""Sharded weights: one map by the index, which may name nothing outside and nothing twice."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from ckptkit.errors import (
    CkptkitError,
    CorruptFileError,
    UnsafePathError,
)
from ckptkit.nodes import MapNode
from ckptkit.verbs.open import open_container
from tests.unit.folder_making import (
    byte_of,
    open_folder,
    sharded,
    weights,
    write_index,
)


def test_shards_are_one_map_by_the_index_and_in_its_folder(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    opened = open_container(index)
    assert opened.container == "sharded"
    assert {name: byte_of(tensor) for name, tensor in opened.root.items()} == {
        "a": 1,
        "b": 2,
        "c": 3,
    }
    assert opened.properties["metadata"]["total_size"] == 3
    opened.close()
    opened = open_folder(tmp_path)
    assert list(opened.root) == ["model.safetensors"]
    assert sorted(opened.root["model.safetensors"]) == ["a", "b", "c"]
    assert list(opened.properties["side_files"]) == []  # it would outlive its shards
    assert opened.properties["index_metadata"][index.name]["total_size"] == 3
    assert len(list(opened.checks())) == 3
    opened.close()


def test_torch_shards_have_an_index_too(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2)}, tmp_path / "pytorch_model-00001-of-00001.bin")
    write_index(tmp_path, "pytorch_model.bin.index.json", a="pytorch_model-00001-of-00001.bin")
    opened = open_folder(tmp_path)
    assert opened.root["pytorch_model.bin"]["a"].shape == (2,)
    assert opened.scans
    opened.close()


def test_what_the_index_does_not_name_is_kept_and_noticed(tmp_path: Path) -> None:
    weights(tmp_path / "one.safetensors", a=1, tied=1)
    opened = open_container(write_index(tmp_path, a="one.safetensors"))
    assert list(opened.root) == ["a", "tied"]
    assert [notice.code for notice in opened.notices] == ["shard-unnamed"]
    opened.close()


@pytest.mark.parametrize(
    ("shard_of", "error"),
    [
        ({"a": "../one.safetensors"}, UnsafePathError),
        ({"a": "/etc/passwd"}, UnsafePathError),
        ({"a": "sub/one.safetensors"}, UnsafePathError),
        ({"a": "link"}, UnsafePathError),
        ({"a": ".."}, UnsafePathError),
        ({"a": 3}, UnsafePathError),
        ({"a": ["one.safetensors"]}, UnsafePathError),
        ({"a": "missing.safetensors"}, CorruptFileError),
        ({"b": "one.safetensors"}, CorruptFileError),
        ({"a": "model.safetensors.index.json"}, CorruptFileError),
        ({"a": "one.safetensors", "b": "two.safetensors"}, CorruptFileError),
        ({"a": "scalar"}, CorruptFileError),
    ],
)
def test_an_index_that_lies_is_refused(
    tmp_path: Path, shard_of: dict[str, Any], error: type[CkptkitError]
) -> None:
    weights(tmp_path / "one.safetensors", a=1)
    weights(tmp_path / "two.safetensors", a=2, b=2)
    weights(tmp_path.parent / "one.safetensors", a=1)
    weights(tmp_path / "sub" / "one.safetensors", a=1)
    (tmp_path / "scalar").write_bytes(pickle.dumps(3))
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(error):
        open_container(write_index(tmp_path, **shard_of))


@pytest.mark.parametrize(
    "text", ['{"weight_map": 3}', '{"weight_map": {"a": "x", "a": "y"}}', '{"weight_map": {"a"']
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CorruptFileError):
        open_container(tmp_path / "model.safetensors.index.json")
    with pytest.raises(CorruptFileError):
        open_folder(tmp_path)


def test_every_inner_descriptor_is_closed(tmp_path: Path) -> None:
    sharded(tmp_path)
    weights(tmp_path / "other.safetensors", w=1)
    opened = open_folder(tmp_path)
    tensor = opened.root["model.safetensors"]["a"]
    assert isinstance(opened.root, MapNode)
    opened.close()
    with pytest.raises(CkptkitError):
        byte_of(tensor)

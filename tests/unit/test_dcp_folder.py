"""torch.distributed.checkpoint folders: torch writes them, we read the same tensors."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptkit.containers.dcp_folder import DcpFolderContainer
from ckptkit.containers.logical import logical_source
from ckptkit.containers.probe import make_probe
from ckptkit.errors import (
    CkptkitError,
    CorruptFileError,
    TensorBoundsError,
    TruncatedFileError,
    UnfinishedError,
    UnsafePathError,
)
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.protocols import Opened
from ckptkit.types import DEFAULT_LIMITS
from ckptkit.verbs.open import open_container

torch = pytest.importorskip("torch")
import torch.distributed.checkpoint as dcp  # noqa: E402

from tests.unit.dcp_making import FolderMaker, grid_boxes  # noqa: E402

CONTAINER = DcpFolderContainer()


def open_folder(folder: Path) -> Opened:
    probe = make_probe(folder)
    assert CONTAINER.matches(probe)
    return CONTAINER.open(probe, DEFAULT_LIMITS, open_container)


def live(node: Node) -> Any:
    """Turn nodes into what torch would give."""
    if isinstance(node, MapNode):
        return {key: live(value) for key, value in node.items()}
    if isinstance(node, SeqNode):
        items = [live(value) for value in node.items]
        return tuple(items) if node.kind == "tuple" else items
    if isinstance(node, TensorNode):
        source = logical_source(node)
        out = bytearray(source.nbytes)
        source.read_into(0, memoryview(out))
        flat = torch.frombuffer(out or bytearray(1), dtype=torch.uint8)[: len(out)]
        return flat.view(getattr(torch, node.dtype.name)).reshape(node.shape)
    return node


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that no process group exists
        yield


def test_a_real_training_state_comes_back_nested(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 4)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    state = {
        "model": dict(model.state_dict()),
        "optim": optimizer.state_dict(),
        "step": 3,
        "empty": torch.zeros(0, 3),
        "half": torch.randn(5).bfloat16(),
        "complex": torch.randn(2, 2, dtype=torch.complex128),
        "list": [1, torch.ones(2), {"deep": [True, "text", None]}],
    }
    dcp.save(state, checkpoint_id=tmp_path / "c")
    opened = open_folder(tmp_path / "c")
    state["optim"]["state"] = {str(key): value for key, value in state["optim"]["state"].items()}
    assert same(live(opened.root), state)
    assert {check.outcome for check in opened.checks()} == {"ok"}
    assert opened.properties["metadata"]["version"] == "1.0.0"
    opened.close()


def test_tensors_in_pieces_equal_what_torch_puts_together(tmp_path: Path) -> None:
    random.seed(7)
    maker = FolderMaker(tmp_path / "c")
    wanted: dict[str, torch.Tensor] = {}
    for index in range(40):
        shape = tuple(random.randint(1, 7) for _ in range(random.randint(0, 4)))
        dtype = random.choice([torch.float32, torch.int64, torch.uint8, torch.bfloat16])
        value = torch.randint(0, 100, shape).to(dtype)
        cuts = [sorted(random.sample(range(1, n), random.randint(0, n - 1))) for n in shape]
        boxes = grid_boxes(shape, cuts)
        random.shuffle(boxes)
        maker.add_tensor(f"t{index}", value, boxes)
        wanted[f"t{index}"] = value
    folder = maker.write()
    by_torch = {name: torch.empty_like(value) for name, value in wanted.items()}
    dcp.load(by_torch, checkpoint_id=folder)
    assert same(by_torch, wanted)
    opened = open_folder(folder)
    assert same(live(opened.root), wanted)
    opened.close()


_TWO_RANKS = """
import os, sys, warnings
warnings.simplefilter("ignore")
import torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
from torch.distributed.tensor import Replicate, Shard, distribute_tensor, init_device_mesh
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=int(sys.argv[3]), world_size=2)
mesh = init_device_mesh("cpu", (2,))
rows = torch.arange(35.).reshape(5, 7)
state = {
    "rows": distribute_tensor(rows, mesh, [Shard(0)]),
    "columns": distribute_tensor(rows.clone(), mesh, [Shard(1)]),
    "whole": distribute_tensor(rows.clone(), mesh, [Replicate()]),
    "one": distribute_tensor(torch.tensor([[3.0, 4.0]]), mesh, [Shard(0)]),
}
dcp.save({"model": state, "rank_free": {"epoch": 4}}, checkpoint_id=sys.argv[1])
dist.destroy_process_group()
"""


def test_two_real_ranks_with_sharded_tensors(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", _TWO_RANKS, tmp_path / "c", tmp_path / "meet", str(rank)],
            stderr=subprocess.PIPE,
            env=environment,
        )
        for rank in range(2)
    ]
    for rank in ranks:
        _, errors = rank.communicate(timeout=120)
        assert rank.returncode == 0, errors.decode()
    opened = open_folder(tmp_path / "c")
    rows = torch.arange(35.0).reshape(5, 7)
    model = {"rows": rows, "columns": rows, "whole": rows, "one": torch.tensor([[3.0, 4.0]])}
    assert same(live(opened.root), {"model": model, "rank_free": {"epoch": 4}})
    opened.close()


def test_flat_names_without_planner_data_and_files_beside(tmp_path: Path) -> None:
    maker = FolderMaker(tmp_path / "c")
    maker.add_tensor("a.b", torch.ones(2), [((0,), (2,))])
    maker.metadata.planner_data = None
    folder = maker.write()
    torch.save({"epoch": 3}, folder / "meta.pt")
    (folder / "readme.txt").write_text("hello")
    opened = open_folder(folder)
    assert list(opened.root) == ["a.b", "meta.pt", "readme.txt"]
    assert opened.root["meta.pt"]["epoch"] == 3
    assert opened.properties["files"].items == ["meta.pt", "readme.txt"]
    assert list(opened.properties["side_files"]) == ["readme.txt"]
    assert "flat-names" in {notice.code for notice in opened.notices}
    opened.close()


def test_one_rank_that_saved_alone_is_read_and_several_are_refused(tmp_path: Path) -> None:
    maker = FolderMaker(tmp_path / "c")
    maker.add_tensor("t", torch.ones(2), [((0,), (2,))])
    folder = maker.write()
    (folder / ".metadata").rename(folder / "__0.metadata")
    opened = open_folder(folder)
    assert same(live(opened.root), {"t": torch.ones(2)})
    opened.close()
    (folder / "__1.metadata").write_bytes((folder / "__0.metadata").read_bytes())
    with pytest.raises(CorruptFileError, match="2 ranks"):
        open_folder(folder)


def test_checkpoints_inside_a_checkpoint_stay_closed(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    for depth in range(300):  # opened one inside the other, they would exhaust the stack
        inner = folder / "/".join(["d"] * depth)
        inner.mkdir(parents=True)
        (inner / ".metadata").write_bytes(b"")
    maker = FolderMaker(folder)
    maker.add_object("o", 1)
    opened = open_folder(maker.write())
    assert list(opened.root) == ["o"]
    assert opened.properties["nested"].items == ["d"]
    opened.close()


def test_a_payload_in_the_metadata_is_named_and_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    maker = FolderMaker(tmp_path / "c")
    maker.add_object("config", Payload())
    maker.metadata.storage_meta = Payload()
    folder = maker.write()
    opened = open_folder(folder)  # a record is data
    opened.close()
    streams = {
        scan.stream
        for scan in CONTAINER.scan(make_probe(folder), DEFAULT_LIMITS)
        for use in scan.uses
        if use.qualname == "system" and use.how == "called"
    }
    assert len(streams) == 2
    assert any(stream.startswith(".metadata") for stream in streams)
    assert any("config" in stream for stream in streams)
    assert not (tmp_path / "ran").exists()


def test_an_item_with_a_payload_is_found_when_the_metadata_cannot_be_read(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.system, ("true",)

    maker = FolderMaker(tmp_path / "c")
    maker.add_object("first", 1)
    maker.add_object("second", Payload())
    maker.add_object("third", 1)
    maker.add_object("fourth", 1)
    folder = maker.write()
    (folder / ".metadata").write_bytes(b"\x80\x04}.")
    scans = list(CONTAINER.scan(make_probe(folder), DEFAULT_LIMITS))
    assert any(use.qualname == "system" for scan in scans for use in scan.uses)


def _two_boxes(maker: FolderMaker) -> Any:
    maker.add_tensor("t", torch.arange(8.0), [((0,), (4,)), ((4,), (4,))])
    return maker.metadata.state_dict_metadata["t"]


def _infos(maker: FolderMaker) -> list[Any]:
    return list(maker.metadata.storage_data.values())


def _hole(maker: FolderMaker) -> None:
    _two_boxes(maker).chunks.pop()


def _overlap(maker: FolderMaker) -> None:
    tensor = _two_boxes(maker)
    maker.add_tensor("t", torch.arange(8.0), [((0,), (5,)), ((4,), (4,))])
    maker.metadata.state_dict_metadata["t"].size = torch.Size([9])
    del tensor


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

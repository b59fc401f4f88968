"""torch.distributed.checkpoint folders: torch writes them, we read the same tensors."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from ckptkit.containers.probe import make_probe
from ckptkit.errors import CorruptFileError
from ckptkit.types import DEFAULT_LIMITS

torch = pytest.importorskip("torch")
import torch.distributed.checkpoint as dcp  # noqa: E402

from tests.unit.dcp_making import FolderMaker, grid_boxes  # noqa: E402
from tests.unit.dcp_reading import CONTAINER, live, open_folder, same  # noqa: E402


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

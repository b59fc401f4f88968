"""What ``recover`` makes of each kind of damage, one kind a test."""

import errno
import json
import os
import shutil
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from ckptkit.containers.salvage import RAW_KEY
from ckptkit.errors import CkptkitError, CorruptFileError, LockedError, WriteFailedError
from ckptkit.nodes import MapNode, TensorNode
from ckptkit.storage.atomic import stage
from ckptkit.storage.leftovers import sibling_name
from ckptkit.tree import walk
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load
from ckptkit.verbs.recover import recover
from tests.laws.recovery import contents, training_dict, zip_spans


def numbers(path):
    """Every tensor of a checkpoint by its printed place, as a flat list."""
    with load(path) as checkpoint:
        return {
            one.name: torch.frombuffer(bytearray(one.read()), dtype=getattr(torch, one.dtype)).tolist()
            for one in checkpoint.tensors()
        }  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    """A torch zip of three tensors, and its bytes to damage."""
    path = tmp_path / "a.pt"
    state = {name: torch.full((40,), float(i)) for i, name in enumerate(("a", "b", "c"), 1)}
    torch.save({"epoch": 7, "model": state}, path)
    return path, bytearray(path.read_bytes())


def damaged(path, data):
    path.with_name("damaged.pt").write_bytes(data)
    return path.with_name("damaged.pt")


def test_plain_values_stay_and_the_lost_key_goes(saved, tmp_path):
    path, data = saved
    start, _ = zip_spans(path)["data/1"]
    data[start] ^= 1
    report = recover(damaged(path, data), tmp_path / "out")
    assert [(one.name, one.shape, one.dtype) for one in report.lost] == [
        ("model/b", (40,), "float32")
    ]
    assert "CRC-32" in report.lost[0].reason
    assert not report.guessed
    assert numbers(tmp_path / "out") == {"model/a": [1.0] * 40, "model/c": [3.0] * 40}
    with load(tmp_path / "out") as checkpoint:
        assert checkpoint.document["progress"]["as_stored"]["epoch"] == 7
        rows = checkpoint.document["provenance"]["recovered"]["lost"].items
        assert [row["name"] for row in rows] == ["model/b"]
        assert [notice.code for notice in checkpoint.notices if notice.code == "recovered"]


def test_every_tie_of_a_lost_storage_is_named(tmp_path):
    weight = torch.arange(50.0)
    path = tmp_path / "a.pt"
    torch.save({"model": {"wte": weight, "head": weight, "bias": torch.ones(3)}}, path)
    data = bytearray(path.read_bytes())
    data[zip_spans(path)["data/0"][0]] ^= 255
    report = recover(damaged(path, data), tmp_path / "out")
    assert [one.name for one in report.lost] == ["model/wte", "model/head"]


def test_a_sparse_tensor_goes_as_a_whole_and_a_list_keeps_its_places(tmp_path):
    path = tmp_path / "a.pt"
    sparse = torch.sparse_coo_tensor([[0, 2]], [5.0, 6.0], (4,), check_invariants=True).coalesce()
    torch.save({"sparse": sparse, "list": [torch.ones(3), torch.zeros(5), 3]}, path)
    spans = zip_spans(path)
    with load(path) as checkpoint:
        keys = {one.path[-2:]: one.node.storage.key for one in checkpoint.tensors()}
        by_size = {one.nbytes: one.node.storage.key for one in checkpoint.tensors()}
    assert len(keys) == 4
    data = bytearray(path.read_bytes())
    for nbytes in (8, 20):  # the values of the sparse one, the second of the list
        data[spans[f"data/{by_size[nbytes]}"][0]] ^= 1
    report = recover(damaged(path, data), tmp_path / "out")
    assert len(report.lost) == 3  # the indices, too: they are nothing without values
    with load(tmp_path / "out") as checkpoint:
        root = checkpoint.document["extra"]
        found = [node for _, node in walk(root) if isinstance(node, TensorNode)]
        assert [node.shape for node in found] == [(3,)]
        kept = next(node for path, node in walk(root) if path and path[-1] == "list")
        assert kept.items[1:] == [None, 3]


def test_a_pickle_with_a_changed_letter_is_used_and_doubted(saved, tmp_path):
    path, data = saved
    at = data.index(b"epoch")
    data[at] ^= 1
    report = recover(damaged(path, data), tmp_path / "out")
    assert report.lost == ()
    assert any("data.pkl does not have its CRC-32" in one for one in report.guessed)
    assert report.finding() is not None


def test_a_pickle_that_breaks_off_leaves_its_names_and_raw_records(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({f"w{i}": torch.full((20,), float(i)) for i in range(6)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(b"w3") - 5] = 0xFF  # no opcode
    report = recover(damaged(path, data), tmp_path / "out")
    found = numbers(tmp_path / "out")
    named = {
        name.rpartition("/")[2]: values[0] for name, values in found.items() if RAW_KEY not in name
    }
    assert {name: named[name] for name in ("w0", "w1", "w2")} == {"w0": 0.0, "w1": 1.0, "w2": 2.0}
    with load(tmp_path / "out") as checkpoint:
        raw = checkpoint.document["extra"][RAW_KEY]["damaged.pt"]
        assert list(raw) == ["3", "4", "5"]
    assert bytes(found[f"extra/{RAW_KEY}/damaged.pt/5"]) == torch.full((20,), 5.0).numpy().tobytes()
    assert report.guessed


def test_two_records_of_one_name_are_both_refused(saved, tmp_path):
    path, data = saved
    cut = data.index(b"PK\x01\x02")
    start, stop = zip_spans(path)["data/1"]
    header = data.rindex(b"PK\x03\x04", 0, start)
    record = bytes(data[header : stop + 16])
    fake = torch.full((40,), 99.0).numpy().tobytes()
    import zlib

    other = record[: start - header] + fake + b"PK\x07\x08" + zlib.crc32(fake).to_bytes(4, "little")
    other += record[-8:]
    report = recover(damaged(path, bytes(data[:cut]) + other), tmp_path / "out")
    assert [one.name for one in report.lost] == ["model/b"]
    assert "claim to be it" in report.lost[0].reason


def test_an_archive_inside_a_tensor_is_not_taken_for_the_outer_one(tmp_path):
    inner = tmp_path / "archive.pt"
    torch.save({"w": torch.full((40,), 5.0)}, inner)
    content = torch.frombuffer(bytearray(inner.read_bytes()), dtype=torch.uint8)
    (tmp_path / "room").mkdir()
    outer = tmp_path / "room" / "archive.pt"
    torch.save({"w": torch.full((40,), 1.0), "blob": content.clone(), "z": torch.ones(9)}, outer)
    data = outer.read_bytes()
    report = recover(damaged(outer, data[: data.rindex(b"PK\x01\x02") - 500]), tmp_path / "out")
    found = {name.rpartition("/")[2]: values for name, values in numbers(tmp_path / "out").items()}
    assert found["w"] == [1.0] * 40
    assert bytes(found["blob"]) == inner.read_bytes()
    assert not report.lost


def test_an_archive_that_was_deflated_afterwards_is_read_entry_by_entry(saved, tmp_path):
    path, _ = saved
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    data = packed.read_bytes()
    report = recover(damaged(packed, data[: data.index(b"PK\x01\x02")]), tmp_path / "out")
    assert report.lost == ()
    assert numbers(tmp_path / "out")["model/c"] == [3.0] * 40


def test_a_file_without_checksums_is_saved_and_doubted(tmp_path):
    path = tmp_path / "a.pt"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(50.0), "v": torch.ones(70)}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    data = path.read_bytes()
    report = recover(damaged(path, data[: data.index(b"PK\x01\x02")]), tmp_path / "out")
    assert report.lost == ()
    assert any("without checksums" in one for one in report.guessed)


@pytest.mark.parametrize("shift", [0, 3, 9])
def test_a_safetensors_header_with_a_damaged_length_or_brace_is_still_read(tmp_path, shift):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.arange(6.0), "b": torch.ones(4, 5)}, path)
    data = bytearray(path.read_bytes())
    data[shift] ^= 0x41
    report = recover(damaged(path, data), tmp_path / "out")
    assert report.guessed
    assert numbers(tmp_path / "out")["model/b"] == [1.0] * 20


def test_a_safetensors_description_that_is_damaged_takes_only_its_own_tensor(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.arange(6.0), "b": torch.ones(4, 5), "c": torch.zeros(3)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(b'"b":{"dtype":"F32"') + 15] = ord("Q")
    report = recover(damaged(path, data), tmp_path / "out")
    assert [one.name for one in report.lost] == ["b"]
    assert set(numbers(tmp_path / "out")) == {"model/a", "model/c"}


def test_a_cut_safetensors_header_leaves_nothing_and_says_so(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.arange(6.0)}, path)
    with pytest.raises(CkptkitError, match="header"):
        recover(damaged(path, path.read_bytes()[:40]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_of_sharded_weights_the_rest_is_saved_and_the_missing_names_are_told(tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    save_file({"a": torch.ones(3)}, folder / "model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
    }}  # fmt: skip
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")
    report = recover(folder, tmp_path / "out")
    assert [one.name for one in report.lost] == ["b"]
    assert "model-00002-of-00002.safetensors" in report.lost[0].reason
    assert [name for name in numbers(tmp_path / "out") if name.endswith("/a")]


@pytest.fixture
def seal(tmp_path):
    torch.save(training_dict(16, 2), tmp_path / "a.pt")
    migrate(tmp_path / "a.pt", tmp_path / "seal")
    return tmp_path / "seal"


def test_of_a_sealed_folder_a_missing_file_takes_only_its_section(seal, tmp_path):
    (seal / "optimizer.safetensors").unlink()
    whole = contents(tmp_path / "a.pt")
    report = recover(seal, tmp_path / "out")
    assert {one.name.partition("/")[0] for one in report.lost} == {"optimizer"}
    left = contents(tmp_path / "out")
    assert left.keys() == {place for place in whole if place[0] != "optimizer"}
    with load(tmp_path / "out") as checkpoint:
        assert checkpoint.document["optimizer"]["param_groups"].items[0]["lr"] == 1e-3


def test_without_its_manifest_the_headers_name_the_tensors(seal, tmp_path):
    (seal / "manifest.msgpack").unlink()
    report = recover(seal, tmp_path / "out")
    assert [one.name for one in report.lost] == ["manifest.msgpack"]
    assert report.guessed
    with load(tmp_path / "out") as checkpoint:
        model = checkpoint.document["model"]
        assert list(model) == ["0.weight", "0.bias", "1.bias", "1.weight"]
        assert model["1.weight"].storage.source is not None


def dead_stage(seal, name):
    """The sealed folder under the name of a stage whose writer has ended, in a folder of its own."""
    pid = os.fork()
    if not pid:
        (seal.parent / "told").write_text(sibling_name(seal.parent / name, "stage"))
        os._exit(0)
    os.waitpid(pid, 0)
    return shutil.move(seal, seal.with_name((seal.parent / "told").read_text()))


def test_the_stage_of_a_dead_writer_is_recovered_and_its_holes_are_lost(seal, tmp_path):
    (seal / "manifest.msgpack").unlink()
    file = seal / "extra.safetensors"
    nbytes = file.stat().st_size
    os.truncate(file, 8 + int.from_bytes(file.read_bytes()[:8], "little"))
    os.truncate(file, nbytes + (1 << 16))
    path = dead_stage(seal, "run")
    room = tmp_path / "elsewhere"
    room.mkdir()
    report = recover(path, room / "out")
    assert os.path.isdir(path)
    with load(room / "out") as checkpoint:
        assert isinstance(checkpoint.document["model"], MapNode)
        kept = checkpoint.document.get("extra")
        assert kept is None or all(0 in node.shape for node in kept.values())
    assert any(one.name.startswith("extra/") for one in report.lost)


def test_beside_a_stage_nothing_is_written_because_that_would_remove_it(seal, tmp_path):
    path = dead_stage(seal, "run")
    with pytest.raises(WriteFailedError, match="removes"):
        recover(path, tmp_path / "out")
    assert os.path.isdir(path)


def test_the_stage_of_a_save_that_runs_is_left_alone(tmp_path):
    (tmp_path / "room").mkdir()
    with stage(tmp_path / "run") as staged, pytest.raises(LockedError):
        recover(staged.path, tmp_path / "room" / "out")


def test_a_failing_disk_leaves_no_target(saved, tmp_path, monkeypatch):
    path, data = saved
    monkeypatch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    with pytest.raises(CkptkitError):
        recover(damaged(path, data[:-50]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_random_bytes_are_nothing(tmp_path):
    (tmp_path / "a.pt").write_bytes(bytes(range(7, 250)) * 40)
    with pytest.raises(CkptkitError) as caught:
        recover(tmp_path / "a.pt", tmp_path / "out")
    assert not isinstance(caught.value, CorruptFileError)

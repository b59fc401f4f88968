"""What `export` promises beside losing nothing: forms that others open, whole or absent, all told."""

import errno
import json
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ckptkit.containers.pickle_writer import dump_pickle
from ckptkit.errors import (
    ChecksumError,
    DiskFullError,
    MigrationError,
    MismatchError,
    TargetExistsError,
    UnrepresentableError,
    WriteFailedError,
)
from ckptkit.nodes import Atom, MapNode
from ckptkit.testing.faults import failing_at, intercepted
from ckptkit.verbs.diff import DiffOptions, diff
from ckptkit.verbs.export import ExportOptions, export
from ckptkit.verbs.exporting.hf_folder import split_shards
from ckptkit.verbs.exporting.plain_data import PlainData
from ckptkit.verbs.exporting.safetensors_files import named_tensors
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load


def below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(8, 3)).sum().backward()
    optimizer.step()
    averaged = {name: p.detach() + 1 for name, p in model.named_parameters()}
    torch.save(
        {
            "epoch": 3, "global_step": 40, "best_val_loss": 0.5, "model": model.state_dict(),
            "model_ema": averaged, "optimizer": optimizer.state_dict(), "args": {"lr": 0.1},
        },
        tmp_path / "run.pt",
    )  # fmt: skip
    return tmp_path / "run.pt"


def test_the_training_dict_is_read_by_torch_and_means_the_same_again(source, tmp_path):
    report = export(source, tmp_path / "out.pt", ExportOptions(to="torch"))
    assert report.proved
    assert report.left_out == ()
    loaded, wanted = (torch.load(p, weights_only=True) for p in (tmp_path / "out.pt", source))
    assert type(loaded["model"]) is OrderedDict
    assert loaded["model"]._metadata == wanted["model"]._metadata
    assert loaded["optimizer"]["param_groups"] == wanted["optimizer"]["param_groups"]
    for name, value in wanted["model"].items():
        assert torch.equal(loaded["model"][name], value)
    again = diff(source, tmp_path / "out.pt", DiffOptions(verify=True))
    assert again.same, (again.counts, again.settings)


def test_the_file_can_be_mapped_by_torch(source, tmp_path):
    export(source, tmp_path / "out.pt", ExportOptions(to="torch"))
    mapped = torch.load(tmp_path / "out.pt", weights_only=True, mmap=True)
    assert torch.equal(mapped["model"]["0.weight"], torch.load(source)["model"]["0.weight"])


def test_one_section_by_itself_is_a_state_dict(source, tmp_path):
    export(source, tmp_path / "out.pt", ExportOptions(to="torch", sections=("model",)))
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    model.load_state_dict(torch.load(tmp_path / "out.pt", weights_only=True))


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_averaged_weights_stand_in_for_the_raw_ones_and_lack_nothing(source, tmp_path, form):
    report = export(source, tmp_path / "out", ExportOptions(to=form, ema=True))
    read = load_file if form == "safetensors" else torch.load
    got, stored = read(tmp_path / "out"), torch.load(source)
    assert set(got) == set(stored["model"])
    assert torch.equal(got["0.weight"], stored["model_ema"]["0.weight"])
    assert torch.equal(got["1.running_var"], stored["model"]["1.running_var"])
    assert any(note.code == "average-filled" for note in report.notices)


def test_averages_without_names_get_them_only_where_every_shape_agrees(tmp_path):
    weights = {"a": torch.zeros(2), "b": torch.zeros(3), "b.running_mean": torch.zeros(4)}
    for shadow, fits in (([torch.ones(2), torch.ones(3)], True), ([torch.ones(3)] * 2, False)):
        ema = {"decay": 0.9, "num_updates": 3, "shadow_params": shadow}
        torch.save({"model": weights, "ema": ema, "epoch": 1}, tmp_path / "x.pt")
        options = ExportOptions(to="torch", ema=True, replace=True)
        if fits:
            report = export(tmp_path / "x.pt", tmp_path / "out.pt", options)
            assert torch.load(tmp_path / "out.pt")["b"].tolist() == [1, 1, 1]
            assert any(note.code == "average-named" for note in report.notices)
        else:
            with pytest.raises(MismatchError, match="averaged weights"):
                export(tmp_path / "x.pt", tmp_path / "out.pt", options)


def test_a_section_that_is_not_there_is_refused_with_what_there_is(source, tmp_path):
    with pytest.raises(MismatchError, match="one of: model, ema, optimizer"):
        export(source, tmp_path / "out", ExportOptions(to="torch", sections=("scaler",)))


@pytest.mark.parametrize("wanted", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32", "float64"])
def test_casts_round_as_torch_does_and_leave_the_rest_alone(tmp_path, stored, wanted):
    odd = [0.0, -0.0, 1.0, 1 + 2**-11, 1e-8, 65504.0, 65520.0, 1e30, -1e39, 3.14159265358979]
    odd += [float("inf"), float("-inf"), 2**-24 * 1.5, 1 + 2**-8, 1 + 3 * 2**-8]
    state = {
        "w": torch.tensor(odd, dtype=torch.float64).to(getattr(torch, stored)),
        "n": torch.arange(3),
    }
    torch.save(state, tmp_path / "x.pt")
    export(
        tmp_path / "x.pt", tmp_path / "y.safetensors", ExportOptions(to="safetensors", dtype=wanted)
    )
    got = load_file(tmp_path / "y.safetensors")
    expected = state["w"].to(getattr(torch, wanted))
    assert got["w"].dtype is expected.dtype
    assert torch.equal(got["w"].view(torch.uint8), expected.view(torch.uint8))
    assert torch.equal(got["n"], state["n"])


def test_a_cast_touches_weights_and_no_state_of_an_optimizer(source, tmp_path):
    export(source, tmp_path / "out.pt", ExportOptions(to="torch", dtype="bfloat16"))
    loaded = torch.load(tmp_path / "out.pt")
    assert loaded["model"]["0.weight"].dtype is torch.bfloat16
    assert loaded["ema"]["weights"]["0.weight"].dtype is torch.bfloat16
    assert loaded["model"]["1.num_batches_tracked"].dtype is torch.int64
    assert loaded["optimizer"]["state"][0]["exp_avg"].dtype is torch.float32


def test_names_change_by_patterns_and_never_collide(source, tmp_path):
    rules = ((r"^0\.", "lin."), (r"^", "net."))
    export(source, tmp_path / "a", ExportOptions(to="safetensors", rename=rules))
    assert set(load_file(tmp_path / "a")) >= {"net.lin.weight", "net.1.bias"}
    for bad in ((r"^\d\.", ""), ("(", ""), (r"^0", r"\9")):
        with pytest.raises(MismatchError):
            export(source, tmp_path / "b", ExportOptions(to="safetensors", rename=(bad,)))
    assert below(tmp_path) == ["a", "run.pt"]


def test_ties_are_tied_in_torch_repeated_in_safetensors_and_dropped_for_transformers(tmp_path):
    shared = torch.randn(4, 4)
    torch.save(
        {"embed.weight": shared, "x": torch.ones(1), "head.weight": shared}, tmp_path / "x.pt"
    )
    export(tmp_path / "x.pt", tmp_path / "t.pt", ExportOptions(to="torch"))
    export(tmp_path / "x.pt", tmp_path / "s.safetensors", ExportOptions(to="safetensors"))
    report = export(tmp_path / "x.pt", tmp_path / "hf", ExportOptions(to="hf"))
    loaded = torch.load(tmp_path / "t.pt")["model"]
    assert loaded["embed.weight"].data_ptr() == loaded["head.weight"].data_ptr()
    assert torch.equal(load_file(tmp_path / "s.safetensors")["head.weight"], shared)
    assert set(load_file(tmp_path / "hf" / "model.safetensors")) == {"embed.weight", "x"}
    assert any("head.weight" in note.where for note in report.notices)


def test_several_sections_of_safetensors_are_files_of_a_folder(source, tmp_path):
    options = ExportOptions(to="safetensors", sections=("model", "optimizer"))
    report = export(source, tmp_path / "out", options)
    assert below(tmp_path / "out") == ["model.safetensors", "optimizer.safetensors"]
    assert "state.0.exp_avg" in load_file(tmp_path / "out" / "optimizer.safetensors")
    assert any(one.place == "optimizer/param_groups/0/lr" for one in report.left_out)


def test_what_safetensors_has_no_dtype_for_is_refused(tmp_path):
    torch.save({"w": torch.ones(2, dtype=torch.complex128)}, tmp_path / "x.pt")
    for form in ("safetensors", "hf"):
        with pytest.raises(UnrepresentableError, match=r"model/w.*complex128"):
            export(tmp_path / "x.pt", tmp_path / "out", ExportOptions(to=form))
    export(tmp_path / "x.pt", tmp_path / "out.pt", ExportOptions(to="torch"))
    assert torch.load(tmp_path / "out.pt")["model"]["w"].dtype is torch.complex128


def test_objects_become_plain_data_or_are_left_out_by_name(tmp_path):
    import argparse
    import datetime as dt
    import pathlib

    class Odd:
        pass

    Odd.__module__, Odd.__qualname__ = "__main__", "Odd"
    sys.modules["__main__"].Odd = Odd
    state = {
        "model": {"w": torch.ones(2)}, "epoch": 1, "optimizer": {},
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/runs")),
        "stats": {"mean": np.float64(0.5), "when": dt.datetime(2026, 11, 22, 3, tzinfo=dt.UTC), "odd": Odd()},
        "raw": np.arange(3, dtype=np.float32),
        "kinds": {torch.Size([2, 3]), "x"}, "blob": bytearray(b"\xff\x00"), "bytes": b"\x00\xfe",
        "dtype": torch.bfloat16, "device": torch.device("cuda", 1), "z": 1 + 2j, "big": 1 << 200,
        "frozen": frozenset([1, 2]), "nan": float("nan"), "text": "\ud800 ü", ("a", 1): 3,
    }  # fmt: skip
    torch.save(state, tmp_path / "x.pt")
    report = export(tmp_path / "x.pt", tmp_path / "out.pt", ExportOptions(to="torch"))
    loaded = torch.load(tmp_path / "out.pt", weights_only=True)
    assert loaded["config"] == {"lr": 0.1, "out": "/runs"}
    assert loaded["stats"] == {"mean": 0.5, "when": "2026-11-22T03:00:00+00:00"}
    assert torch.equal(loaded["raw"], torch.arange(3.0))
    assert (loaded["blob"], loaded["bytes"], loaded["z"]) == (b"\xff\x00", b"\x00\xfe", 1 + 2j)
    assert (loaded["dtype"], loaded["device"]) == (torch.bfloat16, torch.device("cuda", 1))
    assert (loaded["big"], loaded["frozen"], loaded["text"]) == (1 << 200, {1, 2}, "\ud800 ü")
    assert sorted(one.place.rstrip("01") for one in report.left_out) == ["kinds/", "stats/odd"]
    assert any(note.code == "left-out" and note.level == "warning" for note in report.notices)


@pytest.mark.filterwarnings("ignore:.*quantize.*:UserWarning", "ignore:TypedStorage:UserWarning")
def test_quantized_and_meta_tensors_go_through_torch_files(tmp_path):
    whole = torch.quantize_per_tensor(torch.randn(4), 0.1, 3, torch.qint8)
    scales, zeros = torch.tensor([0.1, 0.2], dtype=torch.float64), torch.tensor([0, 1])
    channels = torch.quantize_per_channel(torch.randn(2, 3), scales, zeros, 0, torch.qint8)
    state = {"q": whole, "c": channels, "m": torch.ones(3, device="meta"), "w": torch.ones(1)}
    torch.save({"model": state, "epoch": 1}, tmp_path / "x.pt")
    export(tmp_path / "x.pt", tmp_path / "out.pt", ExportOptions(to="torch"))
    loaded = torch.load(tmp_path / "out.pt", weights_only=True)["model"]
    assert torch.equal(loaded["q"].int_repr(), whole.int_repr())
    assert loaded["q"].q_zero_point() == 3
    assert torch.equal(loaded["c"].dequantize(), channels.dequantize())
    assert loaded["m"].is_meta


def test_no_name_of_a_hostile_file_becomes_an_opcode():
    evil = Atom("torch.dtype", ("float32\ncos\nsystem\n",))
    with pytest.raises(UnrepresentableError):
        dump_pickle(MapNode({"x": evil}))
    plain = PlainData()
    assert len(plain.rebuild(MapNode({"x": evil}))) == 0
    assert len(plain.left_out) == 1


def test_a_target_that_exists_is_replaced_only_on_request_and_never_a_strangers(source, tmp_path):
    export(source, tmp_path / "a.pt", ExportOptions(to="torch"))
    with pytest.raises(TargetExistsError, match="--replace"):
        export(source, tmp_path / "a.pt", ExportOptions(to="torch", dry_run=True))
    before = (tmp_path / "a.pt").stat().st_ino
    export(source, tmp_path / "a.pt", ExportOptions(to="torch", replace=True))
    assert (tmp_path / "a.pt").stat().st_ino != before
    export(source, tmp_path / "hf", ExportOptions(to="hf", max_shard_nbytes=50))
    export(source, tmp_path / "hf", ExportOptions(to="hf", replace=True))
    assert below(tmp_path / "hf") == ["model.safetensors"]
    (tmp_path / "hf" / "notes.txt").write_text("mine")
    with pytest.raises(TargetExistsError, match=r"notes\.txt"):
        export(source, tmp_path / "hf", ExportOptions(to="hf", replace=True))
    (tmp_path / "link.pt").symlink_to(tmp_path / "a.pt")
    for odd in ("link.pt", "hf"):
        with pytest.raises(TargetExistsError):
            export(source, tmp_path / odd, ExportOptions(to="torch", replace=True))


def test_the_source_and_sealed_folders_are_no_targets(source, tmp_path):
    migrate(source, tmp_path / "sealed")
    options = ExportOptions(to="safetensors", replace=True)
    with pytest.raises(TargetExistsError, match="source"):
        export(source, source, options)
    with pytest.raises(WriteFailedError, match="inside"):
        export(source, tmp_path / "sealed" / "x.safetensors", options)
    with pytest.raises(WriteFailedError, match="inside the source"):
        export(tmp_path / "sealed", tmp_path / "sealed" / "x.safetensors", options)


@pytest.mark.parametrize("form", ["torch", "safetensors", "hf"])
def test_a_failed_write_leaves_nothing_behind(source, tmp_path, form):
    full = failing_at(1, errno.ENOSPC, ("pwrite",), lasting=True)
    with intercepted(full), pytest.raises(DiskFullError):
        export(source, tmp_path / "out", ExportOptions(to=form))
    assert below(tmp_path) == ["run.pt"]


@pytest.mark.parametrize("form", ["torch", "safetensors", "hf"])
def test_damage_in_the_source_stops_the_export(source, tmp_path, form):
    data = bytearray(source.read_bytes())
    weight = torch.load(source)["model"]["0.weight"].numpy().tobytes()
    data[data.index(weight)] ^= 1
    source.write_bytes(data)
    with pytest.raises(ChecksumError):
        export(source, tmp_path / "out", ExportOptions(to=form))
    assert below(tmp_path) == ["run.pt"]


@pytest.mark.parametrize("form", ["torch", "safetensors", "hf"])
def test_bytes_that_read_back_different_are_never_committed(source, tmp_path, monkeypatch, form):
    from ckptkit.verbs.exporting import writing

    real = writing.digest_many

    def flipped(sources, **options):
        digests = real(sources, **options)
        return [bytes([digests[0][0] ^ 1]) + digests[0][1:], *digests[1:]]

    monkeypatch.setattr(writing, "digest_many", flipped)
    with pytest.raises(MigrationError, match="reads back different"):
        export(source, tmp_path / "out", ExportOptions(to=form))
    assert below(tmp_path) == ["run.pt"]


def test_shards_are_filled_in_order_and_a_giant_has_one_of_its_own(tmp_path):
    torch.save({"a": torch.ones(10), "b": torch.ones(300), "c": torch.ones(2)}, tmp_path / "x.pt")
    with load(tmp_path / "x.pt") as checkpoint:
        tensors, _ = named_tensors("model", checkpoint.document["model"])
        shards = split_shards(tensors, 100)
    assert [[one.name for one in shard] for shard in shards] == [["a"], ["b"], ["c"]]
    export(tmp_path / "x.pt", tmp_path / "hf", ExportOptions(to="hf", max_shard_nbytes=100))
    index = json.loads((tmp_path / "hf" / "model.safetensors.index.json").read_text())
    assert index["weight_map"]["b"] == "model-00002-of-00003.safetensors"
    assert index["metadata"]["total_size"] == 1248
    with safe_open(tmp_path / "hf" / "model-00001-of-00003.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    with load(tmp_path / "hf") as again:
        assert {t.path[-1] for t in again.tensors("model")} == {"a", "b", "c"}


@pytest.mark.parametrize("through_seal", [False, True])
def test_side_files_travel_and_weights_of_the_source_do_not(tmp_path, through_seal):
    folder = tmp_path / "hf"
    folder.mkdir()
    save_file({"w": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text('{"model_type": "x", "torch_dtype": "float32"}')
    (folder / "vocab.txt").write_bytes(b"\xff\x00")
    if through_seal:
        migrate(folder, tmp_path / "sealed")
        folder = tmp_path / "sealed"
    export(folder, tmp_path / "out", ExportOptions(to="hf"))
    assert below(tmp_path / "out") == ["config.json", "model.safetensors", "vocab.txt"]
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == b"\xff\x00"
    export(folder, tmp_path / "half", ExportOptions(to="hf", dtype="float16"))
    assert json.loads((tmp_path / "half" / "config.json").read_text())["torch_dtype"] == "float16"


def test_neither_torch_nor_numpy_is_needed(source, tmp_path):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['numpy'] = None\n"
        "import ckptkit\n"
        "for form in ('torch', 'safetensors', 'hf'):\n"
        "    ckptkit.export(sys.argv[1], sys.argv[2] + form, ckptkit.ExportOptions(to=form))\n"
        "print(ckptkit.diff(sys.argv[1], sys.argv[2] + 'torch').same)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, source, tmp_path / "o-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.stdout == "True\n", out.stderr
    assert torch.load(tmp_path / "o-torch", weights_only=True)["epoch"] == 3


def test_the_same_source_gives_the_same_bytes(source, tmp_path):
    for name, workers in (("a", 1), ("b", 4)):
        export(source, tmp_path / name, ExportOptions(to="torch", workers=workers))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

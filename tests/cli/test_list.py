"""``ckptkit list``: every checkpoint once, whole or not, in the order asked for."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile

import pytest
import torch

from ckptkit.cli.columns import laid_out, plain_lines
from ckptkit.cli.human import size_text
from ckptkit.cli.render_list import render
from ckptkit.verbs.listing import list_checkpoints


def rows(call, *words):
    result = call("list", "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["checkpoints"]


def by_name(found):
    return {os.path.basename(row["path"]): row for row in found}


def test_every_kind_is_one_row_with_what_it_is(call, zoo):
    found = by_name(rows(call, zoo))
    kinds = {name: (row["container"], row["dialect"], row["state"]) for name, row in found.items()}
    assert kinds["training.pt"] == ("torch-zip", "training-dict", "whole")
    assert kinds["legacy.pth"] == ("torch-legacy", "bare", "whole")
    assert kinds["weights.safetensors"] == ("safetensors", "bare", "whole")
    assert kinds["sealed"] == ("ckptkit-v2", None, "whole")
    assert found["training.pt"]["stored_epoch"] == 7
    assert found["training.pt"]["optimizer_steps"] == 16328
    assert found["sealed"]["optimizer_steps"] == 16328
    assert found["training.pt"]["nbytes"] == (zoo / "training.pt").stat().st_size


def test_a_bad_file_is_a_row_that_says_why(call, zoo):
    found = by_name(rows(call, zoo))
    assert (found["cut.pt"]["state"], found["cut.pt"]["error"]) == ("damaged", "TruncatedFile")
    assert (found["empty.pt"]["state"], found["empty.pt"]["error"]) == ("damaged", "EmptyFile")
    text = call("list", zoo).stdout
    assert re.search(r"empty\.pt +the file is empty", text)
    assert "2 not whole" in text


def test_the_files_inside_a_folder_checkpoint_are_not_listed_again(call, zoo):
    names = [row["path"] for row in rows(call, zoo)]
    assert not [name for name in names if "sealed/" in name]
    assert len(names) == len(set(names)) == len(os.listdir(zoo))


@pytest.fixture
def runs(tmp_path, zoo):
    """Two runs, as they lie below ``runs/``."""
    for stamp in ("20261122_120500_v1", "20261122_130500_v1"):
        for name in ("best_model", "interrupted_checkpoint"):
            place = tmp_path / "runs" / "restoration" / stamp / "checkpoints" / name
            shutil.copytree(zoo / "sealed", place)
    return tmp_path


def drawn(folder, width, lines=laid_out):
    """The table as it is drawn in ``width`` columns."""
    listing = list_checkpoints(folder)
    return [str(line) for line in lines(next(iter(render(listing, listing.rows))), width)]


@pytest.mark.parametrize("lines", [laid_out, plain_lines])
def test_on_a_narrow_terminal_each_checkpoint_is_one_line_below_its_run(runs, lines):
    heading, *told = drawn(runs, 80, lines)
    assert heading.split()[0] == "checkpoint"
    folders = [f"runs/restoration/2026112{n}00_v1/checkpoints/" for n in ("2_1205", "2_1305")]
    assert [told[0], told[3]] == folders
    rows = [told[1], told[2], told[4], told[5]]
    names = ["best_model", "interrupted_checkpoint"] * 2
    assert [row.split()[0] for row in rows] == names
    assert all(row.endswith("yes") and len(row) <= 80 for row in rows)
    assert len(told) == 6


def test_where_paths_fit_and_in_a_pipe_each_line_has_its_whole_path(runs, call):
    path = "runs/restoration/20261122_130500_v1/checkpoints/interrupted_checkpoint"
    for told in (drawn(runs, 200), drawn(runs, None), call("list", runs).stdout.splitlines()):
        assert len([line for line in told if line.startswith(f"  {path}  ")]) == 1
        assert not [line for line in told if line.rstrip().endswith("/")]


def test_what_lies_in_the_folder_itself_is_set_off_from_the_runs_below_it(runs, zoo):
    shutil.copytree(zoo / "sealed", runs / "zzz")
    told = drawn(runs, 80)
    assert told[-2] == "./"
    assert told[-1].split()[0] == "zzz"


@pytest.fixture
def run(tmp_path, zoo):
    """A run folder as a training script leaves it."""
    for number, age in ((9, 30), (10, 20), (2, 10)):
        path = tmp_path / f"checkpoint_epoch_{number}.pt"
        torch.save({"epoch": number, "model": {"w": torch.zeros(number)}}, path)
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    (tmp_path / "config.json").write_text('{"lr": 1}')
    (tmp_path / "events.log").write_text("hello")
    (tmp_path / "._checkpoint_epoch_9.pt").write_bytes(b"\0\5\26\7")
    return tmp_path


def test_newest_first_and_the_other_orders(call, run):
    def names(*words):
        return [row["path"].rsplit("_", 1)[1] for row in rows(call, run, *words)]

    assert names() == ["2.pt", "10.pt", "9.pt"]
    assert names("--sort", "epoch") == ["10.pt", "9.pt", "2.pt"]
    assert names("--sort", "name") == ["2.pt", "9.pt", "10.pt"]
    assert names("--sort", "name", "--reverse") == ["10.pt", "9.pt", "2.pt"]


def test_temporary_files_are_passed_over_and_counted(call, run):
    assert "1 temporary file (._*)" in call("list", run).stdout
    assert not [row for row in rows(call, run) if "._" in row["path"]]


def test_a_config_beside_checkpoints_does_not_make_them_one(call, run):
    assert len(rows(call, run)) == 3


def test_subfolders_are_looked_into_as_deep_as_asked(call, run):
    deep = run / "a" / "b" / "c"
    deep.mkdir(parents=True)
    torch.save({"w": torch.zeros(1)}, deep / "deep.pt")
    assert "deep.pt" in by_name(rows(call, run))
    assert "deep.pt" not in by_name(rows(call, run, "--depth", 2))
    assert "1 folder (--depth)" in call("list", run, "--depth", 2).stdout


def test_an_unfinished_save_is_a_leftover(call, run, zoo):
    name = f".half.stage-1-2-{'0' * 24}-deadbeef"
    shutil.copytree(zoo / "sealed", run / name)
    shutil.copytree(zoo / "sealed", run / "lost")
    (run / "lost" / "manifest.msgpack").unlink()
    found = by_name(rows(call, run))
    assert found[name]["state"] == "leftover"
    assert (found["lost"]["container"], found["lost"]["state"]) == ("folder", "damaged")


def test_a_stage_of_a_file_for_people_is_no_checkpoint(call, run, zoo):
    """As a killed run leaves it: the next one removes it."""
    for kind, name in (("stage", "history.json"), ("old", "config.json")):
        stage = run / f".{name}.{kind}-1-2-{'0' * 24}-deadbeef"
        stage.mkdir()
        (stage / name).write_text("{")
    shutil.copytree(zoo / "sealed", run / f".half.stage-1-2-{'0' * 24}-deadbeef")
    assert [row["state"] for row in rows(call, run)].count("leftover") == 1


def test_files_that_several_checkpoints_share_are_counted_once_in_the_total(call, tmp_path, zoo):
    place = tmp_path / "checkpoints"
    first = shutil.copytree(zoo / "sealed", place / "checkpoint_epoch_1")
    for name in ("latest_checkpoint", "best_model"):
        shutil.copytree(first, place / name, copy_function=os.link)
    alone, linked = rows(call, first)[0]["nbytes"], call("list", place).stdout
    assert f"3 checkpoints, {size_text(alone)} on disk" in linked
    assert "second names share their files" in linked
    shutil.copytree(first, place / "final_model")
    assert f"4 checkpoints, {size_text(2 * alone)} on disk" in call("list", place).stdout


def test_a_link_to_a_folder_is_not_followed(call, run):
    (run / "loop").symlink_to(run, target_is_directory=True)
    assert len(rows(call, run)) == 3


def test_a_single_file_can_be_listed(call, zoo):
    assert len(rows(call, zoo / "training.pt")) == 1


def test_files_that_are_no_checkpoints_are_not_rows(call, run):
    (run / "notes.bin.txt").write_text("x")
    (run / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert len(rows(call, run)) == 3


def test_a_pointer_under_the_name_of_a_checkpoint_is_told(call, run):
    (run / "lost.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n"
    )
    assert by_name(rows(call, run))["lost.safetensors"]["error"] == "LfsPointer"


def test_a_hugging_face_folder_is_one_row(call, tmp_path, zoo):
    folder = tmp_path / "runs" / "bert"
    folder.mkdir(parents=True)
    shutil.copy(zoo / "weights.safetensors", folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    found = rows(call, tmp_path)
    assert [(os.path.basename(row["path"]), row["container"]) for row in found] == [
        ("bert", "folder")
    ]


def test_no_permission_is_a_row(call, run, monkeypatch):
    secret = run / "secret"
    secret.mkdir()
    real = os.scandir

    def scandir(path="."):
        if str(path) == str(secret):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert by_name(rows(call, run))["secret"]["error"] == "AccessDenied"


def test_a_sealed_folder_is_never_entered(call, run, zoo):
    sealed = shutil.copytree(zoo / "sealed", run / "sealed")
    (sealed / "script" / "code").mkdir(parents=True)
    shutil.copy(zoo / "training.pt", sealed / "script" / "code" / "extra.debug_pkl")
    shutil.copytree(zoo / "sealed", sealed / "checkpoint-5")
    assert len(rows(call, run)) == 4


def test_checkpoints_inside_a_hugging_face_output_are_rows_of_their_own(call, tmp_path, zoo):
    for folder in (tmp_path / "out", tmp_path / "out" / "checkpoint-500"):
        folder.mkdir()
        shutil.copy(zoo / "weights.safetensors", folder / "model.safetensors")
        (folder / "config.json").write_text("{}")
    (tmp_path / "out" / "runs").mkdir()
    shutil.copy(zoo / "training.pt", tmp_path / "out" / "runs" / "log.pt")
    assert set(by_name(rows(call, tmp_path))) == {"out", "checkpoint-500"}


def test_a_link_that_goes_round_in_a_circle_stops_nothing(call, run):
    (run / "loop").symlink_to("loop")
    (run / "loop.pt").symlink_to("loop.pt")
    assert len(rows(call, run)) == 3


def test_a_defect_of_a_reader_is_a_row(call, run, monkeypatch):
    from ckptkit.verbs import listing

    real = listing.load

    def load(path, **more):
        if path.name.endswith("_9.pt"):
            raise KeyError("storage")
        return real(path, **more)

    monkeypatch.setattr(listing, "load", load)
    row = by_name(rows(call, run))["checkpoint_epoch_9.pt"]
    assert (row["state"], row["error"]) == ("damaged", "Defect")
    assert "report" in row["reason"]


def test_what_only_has_the_name_of_a_checkpoint_is_counted_apart(call, run):
    with zipfile.ZipFile(run / "plain.pt", "w") as out:
        out.writestr("package/code.py", "pass")
    (run / "photo.pt").write_bytes(b"\xff\xd8\xff" + bytes(100))
    (run / "page.pt").write_text("<!DOCTYPE html><html></html>")
    (run / "text.pt").write_text("hello\n")
    result = call("list", "--json", run)
    told = json.loads(result.stdout)
    assert len(told["checkpoints"]) == 3
    assert {os.path.basename(row["path"]) for row in told["not_checkpoints"]} == {
        "plain.pt", "photo.pt", "page.pt", "text.pt",
    }  # fmt: skip
    text = call("list", run).stdout
    assert "not a checkpoint: 4 files" in text
    assert "not whole" not in text


def test_a_folder_of_such_files_alone_holds_no_checkpoint(call, tmp_path):
    (tmp_path / "text.pt").write_text("hello\n")
    assert call("list", tmp_path).exit_code == 10


def test_inspect_and_list_agree_on_what_is_one_checkpoint(call, run, zoo):
    result = call("inspect", run)
    assert result.exit_code == 10
    assert "holds 3 checkpoints, but is none itself" in " ".join(result.stderr.split())
    assert "checkpoint_epoch_10.pt" in result.stderr
    log = run / "lightning_logs" / "version_0" / "checkpoints"
    log.mkdir(parents=True)
    shutil.copy(zoo / "training.pt", log / "epoch=3-step=40.ckpt")
    result = call("inspect", run / "lightning_logs")
    assert result.exit_code == 10
    assert "holds 1 checkpoint," in " ".join(result.stderr.split())


def test_a_step_of_unknown_meaning_is_shown_with_a_mark_and_sorted_by(call, tmp_path):
    for step in (20, 100, 3):
        state = {"model": {"w": torch.zeros(1)}, "iter_num": step, "optimizer": {}}
        torch.save(state, tmp_path / f"at_{step}.pt")
    shown = call("list", tmp_path, "--sort", "step").stdout
    assert re.findall(r" (\d+)\? ", shown) == ["100", "20", "3"]
    assert "does not tell whether this step was done" in shown
    assert [row["stored_step"] for row in rows(call, tmp_path, "--sort", "step")] == [100, 20, 3]


def test_a_folder_that_lost_its_manifest_is_not_whole(call, zoo, tmp_path):
    lost = shutil.copytree(zoo / "sealed", tmp_path / "lost")
    (lost / "manifest.msgpack").unlink()
    [row] = rows(call, tmp_path)
    assert row["state"] == "damaged"
    assert "lost its manifest.msgpack" in row["reason"]
    assert "recover" in row["reason"]

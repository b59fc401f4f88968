"""``ckptkit inspect``: what it says, in words and as JSON."""

from __future__ import annotations

import json

import pytest
import torch

import ckptkit


def as_json(call, *words):
    result = call("inspect", "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_training_checkpoint_is_summed_up(call, zoo):
    text = call("inspect", zoo / "training.pt").stdout
    for told in ("training.pt", "PyTorch zip file", "training-dict", "16,328 optimizer steps", "val_loss 0.125",
                 "model", "optimizer", "float32"):  # fmt: skip
        assert told in text
    found = as_json(call, zoo / "training.pt")
    sections = {row["name"]: row for row in found["sections"]}
    assert sections["model"]["tensors"] == 24
    assert sections["model"]["parameters"] == 12 * 20
    assert sections["model"]["nbytes"] == 12 * 20 * 4
    assert sections["optimizer"]["tensors"] == 72
    assert found["total"]["tensors"] == 96
    assert found["progress"]["optimizer_steps"] == 16328
    assert found["progress"]["as_stored"]["epoch"] == 7
    assert found["progress"]["best"]["value"] == 0.125
    assert found["dialect"]["name"] == "training-dict"
    assert found["dialect"]["runner_up"]
    assert [row["dtype"] for row in found["dtypes"]] == ["float32"]


def test_what_a_resume_lacks_is_named(call, zoo):
    found = as_json(call, zoo / "training.pt")
    assert [gap["section"] for gap in found["resume_lacks"]] == ["rng", "data", "scaler"]
    assert "everything but the weights" in call("inspect", zoo / "weights.safetensors").stdout


def test_ties_shared_storages_and_slack(call, zoo):
    found = as_json(call, zoo / "views.pt")
    assert found["ties"] == [{"paths": ["model/a", "model/tied"], "nbytes": 40}]
    assert found["shared"][0]["paths"] == ["model/a", "model/b"]
    assert found["slack"][0]["freed_nbytes"] == 4000 - 80
    text = call("inspect", zoo / "views.pt").stdout
    assert "model/a = model/tied" in text
    assert "sealing frees 3.92 kB" in text


def test_a_sealed_checkpoint_says_the_same_of_the_same_state(call, zoo):
    before, after = as_json(call, zoo / "training.pt"), as_json(call, zoo / "sealed")
    assert after["schema_version"] == 2
    assert after["dialect"] is None
    assert after["progress"] == before["progress"]
    same = [row for row in after["sections"] if row["name"] in ("model", "optimizer", "scheduler")]
    assert same == [row for row in before["sections"] if row in same]
    assert len(same) == 3


def test_alike_tensors_share_a_line(call, zoo):
    text = call("inspect", "--tensors", zoo / "training.pt").stdout
    assert "model/{0..11}.weight" in text
    assert "96 tensors" in text
    every = call("inspect", "--tensors", "--every", zoo / "training.pt").stdout
    assert "model/7.weight" in every
    assert "{0..11}" not in every


def test_a_glob_chooses_tensors(call, zoo):
    rows = as_json(call, "--tensors", "*.bias", zoo / "training.pt")["tensors"]
    assert {row["name"] for row in rows} == {f"{i}.bias" for i in range(12)}
    assert as_json(call, "--tensors", "nothing*", zoo / "training.pt")["tensors"] == []
    assert len(as_json(call, "--tensors", "optimizer/*", zoo / "training.pt")["tensors"]) == 72


@pytest.mark.parametrize("glob", ["7.weight", "model/7.weight", "model.7.weight"])
def test_a_name_may_be_written_in_three_ways(call, zoo, glob):
    rows = as_json(call, "--tensors", glob, zoo / "training.pt")["tensors"]
    assert [row["name"] for row in rows] == ["7.weight"]


def test_a_glob_that_matches_nothing_is_answered_with_the_nearest_names(call, zoo):
    text = call("inspect", "--tensors", "model/7.wieght", zoo / "training.pt").stdout
    assert "no tensor matches 'model/7.wieght'" in text
    assert "model/7.weight" in text


def test_a_metric_that_was_never_logged_has_no_best_yet(call, tmp_path):
    metrics = {"best": {"name": "val_loss", "mode": "min", "value": None}}
    ckptkit.save(tmp_path / "early", {"model": torch.nn.Linear(2, 2), "metrics": metrics})
    assert "best       val_loss, none yet\n" in call("inspect", tmp_path / "early").output


def test_one_epoch_is_no_epochs_and_a_best_tensor_is_no_value(call, tmp_path):
    state = {"state_dict": {"w": torch.zeros(2)}, "epoch": 1, "best_acc1": torch.tensor(7.0),
             "optimizer": {"state": {}, "param_groups": []}, "arch": "resnet"}  # fmt: skip
    torch.save(state, tmp_path / "one.pt")
    text = call("inspect", tmp_path / "one.pt").stdout
    assert "1 epochs" not in text
    assert "tensor float32 []" not in text
    assert "in the file as a tensor (read it with --stats)" in text


def test_the_schema_of_a_single_tensor_is_called_no_training_dict(call, tmp_path):
    torch.save(torch.zeros(3), tmp_path / "one.pt")
    assert "training dict" not in call("inspect", tmp_path / "one.pt").stdout


def test_figures_that_nothing_has_are_no_zeros(call, tmp_path):
    torch.save({"w": torch.empty(0), "c": torch.ones(2, dtype=torch.complex64)}, tmp_path / "e.pt")
    lines = call("inspect", "--stats", tmp_path / "e.pt").stdout.splitlines()
    assert next(line for line in lines if "/w" in line).split()[3:] == ["-"] * 4
    assert "of magnitude" in next(line for line in lines if "/c" in line)


def test_a_long_wait_without_numpy_is_announced(call, zoo, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert call("inspect", "--stats", zoo / "views.pt").stderr == ""
    monkeypatch.setattr("ckptkit.cli.inspect_view._SLOW_NBYTES", 10)
    assert "numpy is not installed" in call("inspect", "--stats", zoo / "views.pt").stderr


def test_tensors_without_a_glob_may_stand_before_the_path(call, zoo):
    assert "24 tensors" in call("inspect", "--tensors", zoo / "weights.safetensors").stdout


def test_a_tie_is_said_at_the_tensor(call, zoo):
    rows = {
        row["name"]: row for row in as_json(call, "--tensors", "*", zoo / "views.pt")["tensors"]
    }
    assert rows["tied"]["tied_to"] == "model/a"
    assert rows["a"]["tied_to"] is None


def test_stats_read_the_numbers(call, zoo):
    rows = as_json(call, "--stats", zoo / "views.pt")["tensors"]
    figures = {row["name"]: row.get("statistics") for row in rows}
    assert figures["tied"] is None  # told where it is tied to
    assert (figures["a"]["low"], figures["a"]["high"], figures["a"]["mean"]) == (0.0, 9.0, 4.5)
    assert (figures["odd"]["n_nan"], figures["odd"]["n_inf"], figures["odd"]["n_zero"]) == (1, 1, 1)
    text = call("inspect", "--stats", zoo / "views.pt").stdout
    assert "1 NaN, 1 Inf" in text
    assert "█" in text


def test_the_tree_is_that_of_the_file_and_of_a_section_that_of_the_schema(call, zoo):
    tree = call("inspect", "--tree", zoo / "training.pt").stdout
    assert "optimizer_state_dict  dict of 2" in tree
    assert "{0..23}  24 times dict of 3" in tree
    section = call("inspect", "--section", "config", zoo / "training.pt").stdout
    assert "precision  '16-mixed'" in section
    assert "optimizer" not in section


def test_the_tree_has_as_many_levels_as_were_asked_for(call, zoo):
    rows = as_json(call, "--tree", "--depth", 2, zoo / "training.pt")["tree"]
    assert {row["depth"] for row in rows} == {0, 1}


def test_an_unknown_section_is_a_mismatch_that_names_the_others(call, zoo):
    result = call("inspect", "--section", "modle", zoo / "training.pt")
    assert result.exit_code == 36
    assert "model, " in result.stderr


@pytest.mark.parametrize("word", ["max_depth", "nonsense=3", "max_depth=many", "max_depth=-1"])
def test_a_limit_that_is_none_is_a_usage_error(call, zoo, word):
    assert call("inspect", "--limit", word, zoo / "training.pt").exit_code == 2


def test_a_limit_is_obeyed_and_its_option_named(call, zoo):
    result = call("inspect", "--limit", "max_pickle_nbytes=1K", zoo / "training.pt")
    assert result.exit_code == 25
    assert "max_pickle_nbytes" in result.stderr
    assert call("inspect", "--limit", "max_pickle_nbytes=1M", zoo / "training.pt").exit_code == 0


def test_a_dialect_can_be_named_and_must_exist(call, zoo):
    found = as_json(call, "--dialect", "unknown", zoo / "training.pt")
    assert found["dialect"]["name"] == "unknown"
    assert call("inspect", "--dialect", "klingon", zoo / "training.pt").exit_code == 34


def test_a_dangerous_pickle_is_said_to_be_one_and_nothing_runs(call, zoo):
    result = call("inspect", zoo / "evil.pt")
    assert result.exit_code == 0
    assert "posix.system" in result.stdout
    assert "do not unpickle" in result.stdout
    uses = [use for scan in as_json(call, zoo / "evil.pt")["pickles"] for use in scan["uses"]]
    assert {"posix"} <= {use["module"] for use in uses}


def test_inspect_reads_no_tensor_byte(call, zoo, monkeypatch):
    from ckptkit.containers import logical

    def refuse(_tensor):
        raise AssertionError("a tensor was read")

    monkeypatch.setattr(logical, "logical_source", refuse)
    monkeypatch.setattr("ckptkit.verbs.statistics.logical_source", refuse)
    for name in ("training.pt", "weights.safetensors", "legacy.pth", "sealed"):
        assert call("inspect", "--tensors", "*", zoo / name).exit_code == 0


# -- counts and values by the names that scripts give them ----------------------------------------


def save(path, **state):
    ckptkit.save(path, {"model": torch.nn.Linear(2, 2), **state}, trainer="mine")
    return path


def test_a_progress_in_the_words_of_scripts_is_understood(call, tmp_path):
    path = save(tmp_path / "c", progress={"optimizer_steps": 20, "epochs": 3, "note": "x"})
    shown = call("inspect", path).stdout
    assert "epoch 3 in the file, 20 optimizer steps" in shown
    assert "epoch and step are unknown" not in shown
    found = json.loads(call("inspect", path, "--json").stdout)["progress"]
    assert (found["optimizer_steps"], found["as_stored"]) == (20, {"epoch": 3})


def test_sections_that_are_one_value_are_counted_and_shown(call, tmp_path):
    path = save(tmp_path / "c", epoch=3, note="hi", nothing=None)
    found = json.loads(call("inspect", path, "--json").stdout)
    rows = {row["name"]: row["values"] for row in found["sections"]}
    assert (rows["epoch"], rows["note"]) == (1, 1)
    assert "nothing" not in rows
    assert found["total"]["values"] == sum(rows.values())
    assert found["values"] == {"epoch": 3, "note": "hi"}
    assert found["progress"]["as_stored"] == {"epoch": 3}
    assert "epoch 3\n" in call("inspect", path).stdout
    assert "note 'hi'" in call("inspect", path).stdout


def test_a_section_that_is_one_value_is_shown_by_name(call, tmp_path):
    path = save(tmp_path / "c", epoch=3)
    assert "epoch  3" in call("inspect", path, "--section", "epoch").stdout

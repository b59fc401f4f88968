"""``export --to hf`` and the config.json without which nothing opens the folder."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from ckptkit.errors import MismatchError, NotFoundError
from ckptkit.verbs.export import ExportOptions, export


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=32, n_positions=8)
    return GPT2LMHeadModel(config)


def saved(path, model, **sections):
    torch.save({"model": model.state_dict(), "epoch": 1, **sections}, path)
    return path


def test_without_a_config_the_report_says_what_is_missing(model, tmp_path):
    source = saved(tmp_path / "run.pt", model, config={"lr": 0.1})
    report = export(source, tmp_path / "hf", ExportOptions(to="hf"))
    assert report.missing == ("config.json",)
    assert not (tmp_path / "hf" / "config.json").exists()
    assert [n.code for n in report.notices if n.code == "no-config"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_config_that_the_checkpoint_carries_is_written(model, tmp_path, nested):
    config = model.config.to_dict()
    source = saved(
        tmp_path / "run.pt", model, config={"lr": 0.1, "net": config} if nested else config
    )
    report = export(source, tmp_path / "hf", ExportOptions(to="hf"))
    assert report.missing == ()
    told = [n.message for n in report.notices if n.code == "config-made"]
    assert told == [
        "config.json was made of what the checkpoint carries in "
        + ("config/net" if nested else "config")
    ]
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters()))


def test_a_named_config_goes_before_everything_and_follows_the_dtype(model, tmp_path):
    model.config.save_pretrained(tmp_path / "cfg")
    named = json.loads((tmp_path / "cfg" / "config.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({**named, "dtype": "float32"}))
    source = saved(tmp_path / "run.pt", model, config={"model_type": "bert"})
    options = ExportOptions(to="hf", config=tmp_path / "mine.json", dtype="bfloat16")
    export(source, tmp_path / "hf", options)
    written = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert (written["model_type"], written["dtype"]) == ("gpt2", "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "hf").dtype is torch.bfloat16


def test_a_config_that_json_cannot_hold_is_told_and_left_out(model, tmp_path):
    config = {"model_type": "gpt2", "mask": torch.ones(2)}
    report = export(
        saved(tmp_path / "run.pt", model, config=config), tmp_path / "hf", ExportOptions(to="hf")
    )
    assert report.missing == ("config.json",)
    assert "config/mask" in next(n.message for n in report.notices if n.code == "no-config")


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, NotFoundError), (b"[1]", MismatchError), (b"{", MismatchError), (b"{}", MismatchError)],
)
def test_a_named_file_that_is_no_config_stops_the_export(model, tmp_path, content, error):
    if content is not None:
        (tmp_path / "c.json").write_bytes(content)
    source = saved(tmp_path / "run.pt", model)
    with pytest.raises(error):
        export(source, tmp_path / "hf", ExportOptions(to="hf", config=tmp_path / "c.json"))
    assert not (tmp_path / "hf").exists()


def test_other_forms_have_no_config(model, tmp_path):
    source = saved(tmp_path / "run.pt", model)
    with pytest.raises(MismatchError, match="no config"):
        export(source, tmp_path / "x", ExportOptions(to="torch", config=source))

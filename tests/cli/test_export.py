"""``ckptkit export``: the report, the proof, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file


def test_the_report_says_what_was_written_and_that_it_was_proved(call, zoo, tmp_path):
    result = call("export", zoo / "sealed", tmp_path / "out.pt", "--to", "torch")
    assert result.exit_code == 0, result.output
    assert "96 tensors" in result.stdout
    assert "read back equal" in result.stdout
    wanted = torch.load(zoo / "training.pt")
    loaded = torch.load(tmp_path / "out.pt", weights_only=True)
    assert loaded["epoch"] == 7
    assert torch.equal(loaded["model"]["7.weight"], wanted["model_state_dict"]["7.weight"])
    assert call("diff", zoo / "training.pt", tmp_path / "out.pt").exit_code == 0


def test_a_dry_run_writes_nothing_and_tells_the_same(call, zoo, tmp_path):
    words = (
        "export",
        zoo / "training.pt",
        tmp_path / "out",
        "--to",
        "hf",
        "--max-shard-size",
        "500B",
    )
    dry, real = (json.loads(call(*words, *more, "--json").stdout) for more in (("--dry-run",), ()))
    assert (dry["dry_run"], dry["proved"], real["dry_run"], real["proved"]) == (
        True,
        False,
        False,
        True,
    )
    assert dry["files"] == real["files"]
    assert [file["name"] for file in real["files"]] == [
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]  # fmt: skip
    for file in real["files"]:
        assert (tmp_path / "out" / file["name"]).stat().st_size == file["nbytes"]


def test_names_dtype_and_section_are_what_was_asked_for(call, zoo, tmp_path):
    result = call(
        "export", zoo / "training.pt", tmp_path / "x.safetensors", "--to", "safetensors",
        "--dtype", "bfloat16", "--rename", r"^(\d+)\.=layers.\1.", "--section", "model",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    loaded = load_file(tmp_path / "x.safetensors")
    assert loaded["layers.11.weight"].dtype is torch.bfloat16


def test_what_has_no_room_is_listed(call, zoo, tmp_path):
    text = call(
        "export", zoo / "training.pt", tmp_path / "x", "--to", "safetensors", "--all"
    ).stdout
    assert "values are no tensors and left out" in text
    assert "optimizer/param_groups/0/lr" in text
    torch_text = call("export", zoo / "evil.pt", tmp_path / "y.pt", "--to", "torch").stdout
    assert "left out" in torch_text
    assert "system" in torch_text
    assert list(torch.load(tmp_path / "y.pt", weights_only=True)) == ["model"]


def test_an_existing_target_is_refused_and_replaced_on_request(call, zoo, tmp_path):
    words = ("export", zoo / "training.pt", tmp_path / "out.pt", "--to", "torch")
    assert call(*words).exit_code == 0
    again = call(*words)
    assert again.exit_code == 42
    assert "--replace" in again.stderr
    assert call(*words, "--replace").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("--to", "onnx"), 2),
        (("--to", "hf", "--max-shard-size", "big"), 2),
        (("--to", "hf", "--max-shard-size", "0"), 2),
        (("--to", "torch", "--rename", "nonsense"), 2),
        (("--to", "torch", "--rename", "(=x"), 36),
        (("--to", "torch", "--section", "ema"), 36),
        (("--to", "hf", "--all"), 36),
        (("--to", "torch", "--ema"), 36),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(call, zoo, tmp_path, words, code):
    result = call("export", zoo / "training.pt", tmp_path / "out", *words)
    assert result.exit_code == code, result.output
    assert list(tmp_path.iterdir()) == []


def test_a_broken_source_leaves_nothing_behind(call, zoo, tmp_path):
    assert call("export", zoo / "cut.pt", tmp_path / "out", "--to", "torch").exit_code == 20
    assert list(tmp_path.iterdir()) == []


def test_the_screen_promises_from_pretrained_only_where_a_config_lies(call, zoo, tmp_path):
    words = ("export", zoo / "training.pt", tmp_path / "hf", "--to", "hf")
    lacking = call(*words)
    assert lacking.exit_code == 0
    assert "from_pretrained cannot open it yet: config.json is missing" in lacking.stdout
    assert "from_pretrained opens it" not in lacking.stdout
    assert "--config FILE" in lacking.stdout
    (tmp_path / "c.json").write_text('{"model_type": "gpt2"}')
    given = call(*words, "--replace", "--config", tmp_path / "c.json")
    assert "from_pretrained opens it" in given.stdout
    assert "missing" not in given.stdout

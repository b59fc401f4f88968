"""``ckptkit diff``: the summary, the tables, the JSON and the exit code of diff(1)."""

from __future__ import annotations

import json

import pytest
import torch

from tests.cli.conftest import training_state


@pytest.fixture
def changed(tmp_path):
    """The checkpoint of the zoo an epoch later, with one of each kind of difference."""
    state = training_state()
    weights = state["model_state_dict"]
    for i in (3, 4, 5):
        weights[f"{i}.weight"] = weights[f"{i}.weight"] + 0.01
    weights["6.weight"] = weights["6.weight"].bfloat16()
    weights["7.weight"] = torch.zeros(4, 5)
    weights["head.bias"] = weights.pop("8.bias")
    state["epoch"] = 8
    torch.save(state, tmp_path / "b.pt")
    return tmp_path / "b.pt"


def test_nothing_differs_between_a_file_and_its_sealed_folder(call, zoo):
    result = call("diff", zoo / "training.pt", zoo / "sealed")
    assert result.exit_code == 0, result.output
    assert "the same: 96 tensors equal, 44 settings equal" in result.stdout


def test_a_difference_is_exit_code_1_with_the_summary_first_and_groups_collapsed(
    call, zoo, changed
):
    result = call("diff", zoo / "training.pt", changed)
    assert result.exit_code == 1
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[2].startswith("different: 90 tensors equal, 3 differ, 1 of another dtype")
    for told in (
        "model/{3..5}.weight",
        "float32 4x4",
        "float32 4x5",
        "bfloat16",
        "model/head.bias",
    ):
        assert told in result.stdout
    assert "progress/as_stored/epoch" in result.stdout


def test_every_name_stands_alone_on_request(call, zoo, changed):
    text = call("diff", "--every", zoo / "training.pt", changed).stdout
    assert "model/4.weight" in text
    assert "{3..5}" not in text


def test_the_json_says_the_same(call, zoo, changed):
    result = call("diff", "--json", zoo / "training.pt", changed)
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert found["same"] is False
    assert found["counts"] == {"shape": 1, "dtype": 1, "values": 3, "renamed": 1, "equal": 90}
    values = next(row for row in found["tensors"] if row["kind"] == "values")
    assert values["figures"]["max_abs"] == pytest.approx(0.01, rel=1e-4)
    assert [row["name"] for row in found["settings"]] == ["as_stored/epoch"]
    whole = json.loads(call("diff", "--json", "--every", zoo / "training.pt", changed).stdout)
    assert len(whole["tensors"]) == 96


def test_not_a_number_is_a_string_in_the_json(call, tmp_path):
    torch.save({"w": torch.zeros(2)}, tmp_path / "a.pt")
    torch.save({"w": torch.ones(2)}, tmp_path / "b.pt")
    found = json.loads(call("diff", "--json", tmp_path / "a.pt", tmp_path / "b.pt").stdout)
    assert found["tensors"][0]["figures"]["relative_l2"] == "inf"
    assert found["tensors"][0]["figures"]["cosine"] is None


def test_tolerance_and_sections_decide_the_exit_code(call, zoo, changed):
    a = zoo / "training.pt"
    assert call("diff", "--section", "config", a, changed).exit_code == 0
    assert call("diff", "--section", "model", "--atol", "0.1", a, changed).exit_code == 1
    assert call("diff", "--section", "nonsense", a, changed).exit_code == 36


@pytest.mark.parametrize("words", [("cut.pt", "training.pt"), ("training.pt", "empty.pt")])
def test_trouble_is_more_than_1(call, zoo, words):
    result = call("diff", *(zoo / word for word in words))
    assert result.exit_code > 1
    assert result.stderr.startswith("error: ")


def test_no_name_of_a_file_reaches_the_terminal(call, tmp_path):
    torch.save({"\x1b[31mw": torch.zeros(2), "v": torch.zeros(1)}, tmp_path / "a.pt")
    torch.save({"\x1b[31mw": torch.ones(2), "v": torch.zeros(1)}, tmp_path / "b.pt")
    for words in ((), ("--json",), ("--every",)):
        assert "\x1b" not in call("diff", *words, tmp_path / "a.pt", tmp_path / "b.pt").stdout


def test_neither_torch_nor_numpy_is_imported_for_equal_ones(spawn, zoo):
    code = (
        "import sys; from ckptkit.cli.main import app\n"
        "try: app.main(['diff', sys.argv[1], sys.argv[2]])\n"
        "except SystemExit as end: print(end.code, {'torch', 'numpy'} & set(sys.modules))"
    )
    import subprocess
    import sys

    out = subprocess.run(
        [sys.executable, "-c", code, zoo / "training.pt", zoo / "sealed"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert out.stdout.endswith("0 set()\n")


def test_one_tensor_or_setting_that_differs_is_told_of_in_the_singular(call, tmp_path):
    for name, value in (("a.pt", 0.0), ("b.pt", 1.0)):
        torch.save({"model": {"w": torch.full((2,), value)}, "lr": value}, tmp_path / name)
    result = call("diff", tmp_path / "a.pt", tmp_path / "b.pt")
    assert "different: 1 tensor differs, 1 of 1 setting differs" in result.stdout

"""What a slip on the command line is answered with: one line that says what was meant."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.on_terminal import on_terminal


def test_a_choice_that_is_missing_is_listed_in_one_line(call):
    done = call("export", "a.pt", "b.pt")
    assert done.exit_code == 2
    assert "\\n" not in done.stderr
    assert "torch, safetensors, hf" in done.stderr


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("max_rank", "say max_rank=VALUE"),
        ("max_rnk=7", "did you mean max_rank?"),
        ("nothing=7", "there are max_pickle_nbytes"),
    ],
)
def test_a_limit_that_is_misspelt_is_answered_with_its_form(call, zoo, word, said):
    done = call("inspect", zoo / "training.pt", "--limit", word)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_dialect_that_is_misspelt_is_answered_with_the_nearest(call, zoo):
    done = call("inspect", zoo / "training.pt", "--dialect", "ligtning")
    assert done.exit_code == 34
    assert "did you mean lightning?" in done.stderr


@pytest.mark.parametrize(
    ("command", "more"),
    [("inspect", ()), ("diff", (".",)), ("export", ("{tmp}/out", "--to", "torch"))],
)
def test_a_section_that_is_not_there_has_one_exit_code(call, zoo, tmp_path, command, more):
    words = [zoo / "training.pt" if w == "." else w.format(tmp=tmp_path) for w in more]
    done = call(command, zoo / "training.pt", *words, "--section", "modle")
    assert done.exit_code == 36
    assert "'modle'" in done.stderr


@pytest.mark.parametrize("option", ["--migrators", "--autogenerate"])
def test_a_file_of_migrators_that_is_missing_is_no_factory(call, zoo, tmp_path, option):
    word = "nofile.py" if option == "--migrators" else "nofile.py:make"
    done = call("migrate", zoo / "training.pt", tmp_path / "out", option, word)
    if option == "--migrators":
        assert done.exit_code == 11
        assert "migrators.py" in done.stderr
        assert "module:factory" not in done.stderr


def test_a_file_with_more_than_weights_is_called_a_checkpoint(call, zoo, tmp_path):
    done = call("export", zoo / "training.pt", tmp_path / "a.pt", "--to", "torch").stdout
    assert "a.pt  checkpoint" in done
    alone = ("--to", "torch", "--section", "model")
    done = call("export", zoo / "training.pt", tmp_path / "b.pt", *alone).stdout
    assert "b.pt  weights" in done


def test_a_section_that_is_one_value_is_named_without_slashes(call, tmp_path):
    torch.save({"model": {"w": torch.ones(1)}, "data": 3}, tmp_path / "a.pt")
    torch.save({"model": {"w": torch.ones(1)}, "data": 4}, tmp_path / "b.pt")
    done = call("diff", tmp_path / "a.pt", tmp_path / "b.pt").stdout
    assert "//" not in done.replace(str(tmp_path), "")


@pytest.mark.parametrize("command", ["check", "migrate"])
def test_the_help_says_that_the_top_level_of_a_file_runs(call, command):
    assert "top level" in " ".join(call(command, "--help").stdout.split())


def test_an_error_is_folded_between_words_on_a_terminal_and_one_line_in_a_pipe(tmp_path):
    words = [sys.executable, "-m", "ckptkit.cli.main", "inspect", "no such checkpoint.pt"]
    piped = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert piped.stderr.count("\n") == 1
    _, shown = on_terminal(words, columns=50, stdout=subprocess.DEVNULL, cwd=tmp_path)
    assert max(map(len, shown.splitlines())) <= 50
    assert " ".join(shown.split()) == " ".join(piped.stderr.split())

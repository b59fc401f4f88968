"""``resume``, ``sample`` and ``evaluate``: the checkpoint names its trainer and brings its settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.fake_trainer import calls, installed, write_plugin
from tests.signals import hear_signals


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return write_plugin(tmp_path_factory.mktemp("site"), real=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, site):
    """A place with a finished run of the trainer in runs/tiny."""
    place = tmp_path_factory.mktemp("trained")
    with installed(site):
        import_train()(config_of(epochs=2, width=5), place / "runs" / "tiny")
    return place


def import_train():
    from importlib import import_module

    return import_module("tiny_train").train


def config_of(**settings):
    from importlib import import_module

    return import_module("tiny_config").Config(**settings)


@pytest.fixture
def place(trained, tmp_path, monkeypatch, site):
    shutil.copytree(trained, tmp_path / "place", symlinks=True)
    monkeypatch.chdir(tmp_path / "place")
    with installed(site):
        yield tmp_path / "place"


def only_run():
    (found,) = Path("runs/tiny").iterdir()
    return found


def outcome(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("word", ["latest", "tiny", "runs/tiny", "runs"])
def test_a_run_goes_on_in_its_folder_with_its_settings(call, place, word):
    told = outcome(call("resume", word, "--epochs", "3", "--json"))
    assert (told["folder"], told["epochs"], told["steps"]) == (str(only_run()), 3, 9)
    config = json.loads((only_run() / "config.json").read_text())
    assert (config["width"], config["epochs"]) == (5, 3)


def test_a_checkpoint_of_a_run_is_gone_on_from_though_it_is_older(call, place):
    path = only_run() / "checkpoints" / "checkpoint_epoch_1"
    result = call("resume", path, "--lr", "0.5")
    assert result.exit_code == 0, result.output
    assert f"resumed from {path}: epoch 1, step 3" in result.stderr
    assert (
        "lr         0.5    0.1    0.5" in result.stderr
        or "lr       0.5    0.1    0.5" in result.stderr
    )


def test_an_alias_is_a_checkpoint_too(call, place):
    result = call("resume", only_run() / "checkpoints" / "best_model", "--epochs", "3")
    assert "epoch 2, step 6" in result.stderr
    assert result.exit_code == 0


def test_options_may_stand_before_the_path(call, place):
    told = outcome(call("resume", "--epochs", "3", "--json", "--shuffle", "runs/tiny"))
    assert told["epochs"] == 3


def test_a_changed_architecture_is_refused_unless_it_is_forced(call, place):
    result = call("resume", "latest", "--width", "8", "--act", "gelu", "--epochs", "3")
    assert result.exit_code == 39
    assert "width is 8 and was 5" in result.stderr
    assert "; say --width 5 --act relu, or begin a new run; --force goes on if" in result.stderr
    assert call("resume", "latest", "--act", "gelu", "--epochs", "3", "--force").exit_code == 0


def test_what_does_not_fit_is_shown_line_by_line_and_in_json_beside_the_advice(call, place):
    words = ("resume", "latest", "--width", "8", "--force", "--epochs", "3")
    result = call(*words)
    assert result.exit_code == 36
    assert "\\n" not in result.stderr
    assert "…" not in result.stderr
    paragraph = result.stderr.index("error: ")
    told, empty, *report = result.stderr[paragraph:].splitlines()
    assert told.endswith("does not fit what it is to fill: model; nothing was changed")
    assert (empty, report[0]) == ("", "refused: nothing was changed")
    assert any("[5, 3] in the file, [8, 3] in the model" in line for line in report)
    error = json.loads(call(*words, "--json").stdout)["error"]
    assert error["advice"] == "nothing was changed"
    assert error["report"]["components"][0]["status"] == "refused"
    assert "report" not in json.loads(call("resume", "nowhere", "--json").stdout)["error"]


def test_a_self_test_of_a_trainer_without_a_probe_is_refused_in_the_commands_words(call, place):
    result = call("resume", "latest", "--self-test")
    assert result.exit_code == 12
    assert "--self-test: tiny has no probe, so nothing would be tested" in result.stderr
    assert "probe=" not in result.stderr


def test_a_target_that_is_reached_is_said_to_be(call, place):
    result = call("resume", "latest")
    assert result.exit_code == 0
    assert "2 of 2 epochs are complete: nothing to do" in result.stderr


def test_a_dry_run_shows_what_was_asked_saved_and_would_be_used(call, place):
    result = call("resume", "latest", "--epochs", "4", "--dry-run")
    assert "checkpoint_epoch_2 (epoch 2, step 6)" in result.stdout
    assert "epochs   4      2      4" in result.stdout
    plan = json.loads(call("resume", "latest", "--epochs", "4", "--dry-run", "--json").stdout)
    assert plan["changes"] == [
        {"name": "epochs", "asked": 4, "saved": 2, "used": 4, "policy": "free"}
    ]
    assert (plan["epochs"], plan["steps"], plan["is_new"]) == (2, 6, False)
    assert not (only_run() / "checkpoints" / "checkpoint_epoch_3").exists()


def test_train_with_resume_keeps_the_settings_of_the_run_too(call, place):
    told = outcome(call("train", "tiny", "--resume", "--epochs", "3", "--json"))
    assert (told["epochs"], told["folder"]) == (3, str(only_run()))
    assert json.loads((only_run() / "config.json").read_text())["width"] == 5


@pytest.mark.parametrize("word", ["runs", "runs/tiny", "RUN", "RUN/checkpoints"])
def test_train_understands_the_folders_that_resume_understands(call, place, word):
    word = word.replace("RUN", str(only_run()))
    asked = ("--epochs", "3", "--dry-run", "--json")
    trained = call("train", "tiny", "--out", "elsewhere", "--resume", word, *asked)
    assert outcome(trained) == outcome(call("resume", word, *asked))
    assert outcome(trained)["checkpoint"].endswith("checkpoint_epoch_2")


@pytest.mark.parametrize("word", ["runs", "RUN", "RUN/checkpoints/best_model"])
def test_the_run_of_another_trainer_is_named_as_such(call, place, word, monkeypatch):
    from ckptkit.hooks.manager import trainers
    from ckptkit.training import find

    (tiny,) = (one for one in trainers() if one.name == "tiny")
    other = replace(tiny, name="other")
    monkeypatch.setattr(find, "trainers", lambda: (other,))
    result = call("train", "other", "--resume", word.replace("RUN", str(only_run())))
    assert result.exit_code == 36, result.output
    assert "is a checkpoint of the trainer tiny; expected one of other" in result.stderr


def test_a_foreign_file_needs_a_trainer_and_begins_a_run_of_its_own(call, place):
    model = torch.nn.Sequential(torch.nn.Linear(3, 7), torch.nn.ReLU(), torch.nn.Linear(7, 2))
    torch.save(
        {"model_state_dict": model.state_dict(), "epoch": 1, "config": {"width": 7}}, "old.pt"
    )
    assert call("resume", "old.pt").exit_code == 52
    told = outcome(call("resume", "old.pt", "--trainer", "tiny", "--out", "new", "--json"))
    assert told["folder"].startswith("new/")
    assert told["epochs"] == 3
    assert json.loads(Path(told["folder"], "config.json").read_text())["width"] == 7


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere"], 3, "there are runs in runs/tiny"),
        (["latest", "--epoch", "3"], 2, "Did you mean '--epochs'?"),
        (["latest", "--trainer", "other"], 2, "is a checkpoint of tiny"),
        (["latest", "--out", "new"], 2, "which is gone on with in its place"),
        (["latest", "latest"], 2, "unexpected extra argument"),
        ([], 2, "Missing argument 'PATH'"),
        (["latest", "--set", "epoch=3"], 2, "did you mean epochs?"),
    ],
)
def test_what_is_wrong_is_one_paragraph_with_its_code(call, place, words, code, told):
    result = call("resume", *words)
    assert result.exit_code == code, result.output
    assert told in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_a_checkpoint_of_a_trainer_that_is_not_installed_says_which(call, place, tmp_path):
    from ckptkit.hooks import manager
    from ckptkit.hooks.manager import Registry

    manager._state["registry"] = Registry([])
    for command in ("resume", "sample", "evaluate"):
        result = call(command, "latest")
        assert result.exit_code == 52
        assert "trainer tiny: no plugin offers it" in result.stderr


# -- what is done with a finished checkpoint -------------------------------------------------------


def test_an_action_gets_the_checkpoint_its_settings_and_its_options(call, place):
    result = call("evaluate", "--limit", "3", "latest", "--set", "batch_size=2")
    assert result.exit_code == 0, result.output
    ((checkpoint, config, options),) = calls("tiny_deeds")
    assert checkpoint == only_run() / "checkpoints" / "checkpoint_epoch_2"
    assert (config.width, config.batch_size, config.lr) == (5, 2, 0.1)
    assert options.limit == 3
    assert "(epoch 2, step 6)" in result.stdout
    assert "roof   0.5" in result.stdout


def test_the_results_are_one_json_object(call, place):
    told = outcome(call("evaluate", "latest", "--json"))
    assert (told["trainer"], told["epochs"], told["steps"]) == ("tiny", 2, 6)
    assert told["results"]["loss"] == 0.25
    assert told["results"]["classes"][1] == {"class": "road", "iou": "nan"}


def test_which_checkpoint_of_a_run_can_be_said(call, place):
    told = outcome(call("sample", "latest", "--which", "checkpoint_epoch_1", "--json"))
    assert told["checkpoint"].endswith("checkpoint_epoch_1")
    assert call("sample", "latest", "--which", "none").exit_code == 3


def test_help_behind_a_path_shows_the_options_of_its_trainer(call, place):
    assert (
        "--num-samples INTEGER  how many [default: 4]" in call("sample", "latest", "--help").stdout
    )
    assert "--width INTEGER" in call("resume", "latest", "--help").stdout
    assert "--num-samples" not in call("sample", "--help").stdout


def test_an_action_that_fails_shows_its_traceback(call, place):
    result = call("evaluate", "latest", "--fail")
    assert result.exit_code == 54
    assert "Traceback" in result.stderr
    assert "no such metric" in result.stderr.strip().splitlines()[-1]


# -- processes of their own ------------------------------------------------------------------------


def ran(place, site, *words):
    return subprocess.run(
        [sys.executable, "-m", "ckptkit", *words], cwd=place, capture_output=True, text=True,
        check=False, timeout=120, env={**os.environ, "PYTHONPATH": str(site)},
        preexec_fn=hear_signals,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_is_the_business_of_the_run_which_saves_and_leaves_with_its_code(
    tmp_path, site, name, code
):
    ended = ran(tmp_path, site, "train", "tiny", "--fault", name)
    assert ended.returncode == code, ended.stderr
    assert f"{name}: saved interrupted_checkpoint at epoch 1, step 5" in ended.stderr
    assert "Traceback" not in ended.stderr
    (run,) = (tmp_path / "runs" / "tiny").iterdir()
    assert f"ckptkit resume runs/tiny/{run.name}" in ended.stderr
    assert "same command" not in ended.stderr  # that is for scripts


def test_a_signal_before_the_run_listens_ends_the_command_as_any_other(tmp_path, site):
    shutil.copytree(site, tmp_path / "site")
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint('went on')\n"
    (tmp_path / "site" / "tiny_train.py").write_text(source)
    ended = ran(tmp_path, tmp_path / "site", "train", "tiny")
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (143, "", "terminated")


def test_a_crash_says_what_was_saved_then_where_it_crashed_then_one_line(call, place):
    ended = call("train", "tiny", "--fault", "error")
    assert ended.exit_code == 54
    saved = ended.stderr.index("saved error_checkpoint as of the last completed step")
    trace = ended.stderr.index("Traceback")
    line = ended.stderr.index("error: trainer tiny: its training failed: ValueError")
    assert saved < trace < line
    assert outcome(call("resume", "latest", "--fault", "", "--json"))["epochs"] == 3


def test_out_of_memory_ends_with_the_command_that_goes_on(call, place, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/some/bin/ckptkit", "train", "tiny", "--fault", "oom"])
    ended = call("train", "tiny", "--fault", "oom")
    (line,) = (line for line in ended.stderr.splitlines() if "smaller batch" in line)
    words = line.partition("smaller batch: ")[2].split()
    assert words[:2] == ["ckptkit", "resume"]
    assert words[-2:] == ["--batch-size", "2"]
    assert outcome(call(*words[1:], "--fault", "", "--json"))["epochs"] == 3


def test_the_time_limit_leaves_with_85_and_says_where(call, place):
    ended = call("train", "tiny", "--max-time", "0.0001s", "--json")
    assert ended.exit_code == 85
    assert json.loads(ended.stdout)["checkpoint"].endswith("interrupted_checkpoint")


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "numpy", "tiny_config", "tiny_train", "ckptkit_trainers"}:
            raise ModuleNotFoundError(f"blocked {name}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv = ["ckptkit", *sys.argv[1:]]
from ckptkit.cli.main import main
main()
"""


@pytest.mark.parametrize("command", ["inspect", "list", "verify", "plot", "plugins"])
def test_looking_at_a_run_needs_neither_torch_nor_anything_of_its_trainer(place, site, command):
    target = {"inspect": only_run() / "checkpoints" / "latest_checkpoint", "list": "runs",
              "verify": only_run() / "checkpoints" / "latest_checkpoint", "plot": only_run()}  # fmt: skip
    words = [str(target[command])] if command in target else []
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, command, *words], check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(site)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout or command == "verify"


@pytest.mark.parametrize("words", [["train", "--help"], ["train", "tiny", "--help"], ["plugins"],
                                   ["resume", "latest", "--dry-run"], ["sample", "latest", "--help"]])  # fmt: skip
def test_what_only_shows_options_imports_no_torch(place, site, words):
    code = (
        "import sys\nfrom ckptkit.cli.main import app\n"
        f"try:\n    app.main({words!r})\nexcept SystemExit as exc:\n    assert exc.code == 0\n"
        "assert 'torch' not in sys.modules and 'tiny_train' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=place, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["resume", "sample", "evaluate"])
def test_a_run_of_which_nothing_is_whole_has_one_code_for_all(call, place, command):
    for path in (only_run() / "checkpoints").glob("*/model.safetensors"):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    result = call(command, "latest")
    assert result.exit_code == 10, result.output
    assert "whole" in result.stderr

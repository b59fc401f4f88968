"""``ckptkit train``: what is said becomes the call of a trainer; what is wrong is taught."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ckptkit.cli.call_trainer import called
from ckptkit.cli.training_options import _read_time
from ckptkit.errors import LockedError, TrainingError
from ckptkit.run.tell import say_at_once
from tests.fake_trainer import CONFIG, calls, installed, write_plugin


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with installed(write_plugin(tmp_path / "site")):
        yield tmp_path


def error_of(result):
    return result.stderr.strip().splitlines()[-1]


def test_what_is_said_reaches_the_trainer(call, tiny):
    result = call(
        "train", "tiny", "--epochs", 7, "--no-shuffle", "--betas", "0.5,0.75", "--clip", "none",
        "--max-time", "2h", "--force", "--self-test", "--allow-missing", "ema*",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    ((config, folder, options),) = calls()
    assert (config.epochs, config.shuffle, config.betas, config.clip) == (
        7,
        False,
        (0.5, 0.75),
        None,
    )
    assert (config.lr, config.width) == (0.1, 6)  # not said: the defaults
    assert folder == Path("runs/tiny")
    assert options.pop("tell")
    assert options == {
        "resume": "never", "force": True, "self_test": True, "max_time_s": 7200.0,
        "restore": {"allow_missing": ("ema*",)},
    }  # fmt: skip


def test_without_a_name_it_says_which_there_are(call, tiny):
    result = call("train")
    assert result.exit_code == 2
    assert re.search(r"error: no trainer is named; there are: .*\btiny\b", result.stderr)


def test_a_training_answers_ctrl_c_before_the_step_is_finished(call, tiny):
    """A run writes to stderr in the middle of a step if what takes its words goes there, too."""
    call("train", "tiny")
    ((_, _, options),) = calls()
    assert say_at_once(options["tell"]) is not None


def test_out_is_where_the_runs_lie(call, tiny):
    call("train", "tiny", "--out", "elsewhere")
    assert calls()[0][1] == Path("elsewhere")


def test_options_win_over_set_and_set_over_the_file(call, tiny):
    (tiny / "a.toml").write_text("lr = 1.0\nepochs = 1\nbatch_size = 1\n")
    call("train", "tiny", "--config", "a.toml", "--set", "lr=2", "--set", "epochs=2", "--lr", "3")
    config = calls()[0][0]
    assert (config.lr, config.epochs, config.batch_size) == (3.0, 2, 1)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--lr", "fast"], 2, "--lr"),
        (["--act", "swish"], 2, "one of relu, gelu"),
        (["--lr", "0.1", "--lr", "0.2"], 2, "--lr: said 2 times; say it once"),
        (["--epoch", "3"], 2, "Did you mean --epochs?"),
        (["--set", "epoch=3"], 2, "did you mean epochs?"),
        (["--set", "epochs"], 2, "is not NAME=VALUE"),
        (["--set", "epochs=-1"], 12, "epochs is below 0"),
        (["--config", "none.json"], 3, "there is nothing at this path"),
        (["--config", "bad.json"], 12, "'speed' is no setting of tiny"),
        (["--max-time", "soon"], 2, "is no time"),
        (["--max-time", "0"], 2, "is no time to train in"),
        (["--resume", "runA", "--checkpoint", "runB"], 2, "to go on from what: runA or runB?"),
        (["--resume", "no_such_run"], 3, "holds no run of this name"),
        (["--resume-from", "none.pt"], 3, "none.pt"),
        (["word"], 2, "unexpected extra argument"),
    ],
)
def test_what_is_wrong_is_one_paragraph_with_its_code_and_trains_nothing(
    call, tiny, words, code, told
):
    (tiny / "bad.json").write_text('{"speed": 1}')
    result = call("train", "tiny", *words)
    assert result.exit_code == code, result.output
    assert told.replace("'", "") in error_of(result).replace("'", "")
    assert "Traceback" not in result.stderr
    assert not (tiny / "runs").exists()


def test_an_unknown_trainer_is_answered_with_the_nearest(call, tiny):
    result = call("train", "tinny")
    assert result.exit_code == 52
    assert "did you mean tiny?" in error_of(result)
    assert json.loads(call("train", "tinny", "--json").stdout)["error"]["kind"] == "UnknownTrainer"


def test_a_missing_library_is_named_with_what_to_install(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with installed(write_plugin(tmp_path / "site", needs="'no_such_library',")):
        result = call("train", "tiny")
        assert result.exit_code == 51
        assert "pip install 'tiny[all]'" in error_of(result)
        assert "a line through points (needs no_such_library)" in call("train", "--help").stdout


def test_a_setting_with_the_name_of_an_option_of_ours_is_a_defect_of_the_plugin(call, tmp_path):
    site = write_plugin(tmp_path / "site", config=CONFIG.replace("fault: str", "resume: str"))
    with installed(site):
        result = call("train", "tiny")
        assert result.exit_code == 53
        assert "--resume" in error_of(result)


@pytest.mark.parametrize(
    ("words", "resume"),
    [
        ([], "never"), (["--resume"], "never"), (["--resume", "--checkpoint", "auto"], "never"),
        (["--resume", "never"], "never"),
    ],
)  # fmt: skip
def test_with_nothing_there_a_run_begins(call, tiny, words, resume):
    result = call("train", "tiny", *words)
    assert result.exit_code == 0, result.output
    assert calls()[0][2]["resume"] == resume
    assert ("nothing to resume" in result.stderr) == (
        "--resume" in words[:1] and words[1:] != ["never"]
    )


def test_the_help_of_a_trainer_says_defaults_choices_and_what_is_fixed(call, tiny):
    told = call("train", "tiny", "--help").stdout
    architecture, _, rest = told.partition("Training (all of it may change on resume):")
    assert "--width INTEGER" in architecture
    assert "[relu|gelu]" in architecture
    assert "hidden units [default: 6]" in architecture
    assert "[fp32|bf16]" in rest
    assert "--shuffle / --no-shuffle" in rest
    assert "[default: 0.9,0.999]" in rest
    assert "--max-time" in rest


def test_the_help_of_train_lists_the_trainers(call, tiny):
    assert "tiny  a line through points" in call("train", "--help").stdout


def test_a_dry_run_shows_the_settings_and_trains_nothing(call, tiny):
    result = call("train", "tiny", "--dry-run", "--lr", "0.5")
    assert result.exit_code == 0, result.output
    rows = {
        line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line.split()
    }
    assert rows["lr"] == ["0.5"]
    assert rows["width"] == ["6", "architecture"]
    assert "nothing: it begins" in result.stdout
    plan = json.loads(call("train", "tiny", "--dry-run", "--json", "--lr", "0.5").stdout)
    assert (plan["settings"]["lr"], plan["is_new"], plan["checkpoint"]) == (0.5, True, None)
    assert not (tiny / "runs").exists()


@pytest.mark.parametrize(
    ("word", "seconds"),
    [("90", 90), ("1.5s", 1.5), ("30m", 1800), ("2h", 7200), ("2:30", 9000), ("0:00:10", 10)],
)
def test_times_are_read_as_people_write_them(word, seconds):
    assert _read_time(None, None, word) == seconds


@pytest.mark.parametrize("words", [["train", ""], ["train", "t"], ["resume", "--trainer", "t"]])
def test_a_shell_completes_the_names_of_trainers(spawn, tmp_path, words):
    write_plugin(tmp_path / "site")
    assert "tiny" in completed(spawn, tmp_path, *words)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["train", "tiny", "--wi"], "--width"),
        (["train", "tiny", "--act", "g"], "gelu"),
        (["train", "tiny", "--self"], "--self-test"),
        (["train", "none", "--wi"], None),
    ],
)
def test_a_shell_completes_options_and_choices(spawn, tmp_path, words, found):
    write_plugin(tmp_path / "site")
    told = completed(spawn, tmp_path, *words)
    assert found in told if found else "--width" not in told


def completed(spawn, tmp_path, *words):
    ended = spawn(
        PYTHONPATH=str(tmp_path / "site"), _CKPTKIT_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(["ckptkit", *words]) + ("" if words[-1] else " "),
        COMP_CWORD=str(len(words)),
    )  # fmt: skip
    assert ended.err == ""
    return [line.partition(",")[2] for line in ended.out.splitlines()]


def test_what_a_library_of_the_trainer_does_at_exit_is_done(spawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    site = write_plugin(tmp_path / "site")
    with (site / "tiny_train.py").open("a") as file:
        file.write("import atexit\natexit.register(print, 'flushed')\n")
    ended = spawn("train", "tiny", PYTHONPATH=str(site))
    assert (ended.code, ended.out) == (0, "flushed\n")


def failing(error):
    def fail():
        raise error

    return fail


def test_a_crash_of_the_training_shows_its_traceback_and_then_one_line(capsys):
    with pytest.raises(TrainingError, match="ValueError: out of range"):
        called("tiny", failing(ValueError("out of range")))
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert "in fail" in told
    assert "call_trainer" not in told  # how we came there is nobody's business


def test_our_own_errors_and_exits_pass_as_they_are(capsys):
    for error in (LockedError("here", "is held"), SystemExit(85), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            called("tiny", failing(error))
    assert capsys.readouterr().err == ""


def test_a_trainer_that_exits_with_words_has_them_printed(capsys):
    with pytest.raises(SystemExit) as caught:
        called("tiny", failing(SystemExit("no pictures in data/")))
    assert caught.value.code == 1
    assert "no pictures in data/" in capsys.readouterr().err

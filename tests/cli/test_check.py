"""``ckptkit check``: whether a checkpoint would load, why not, and what would help."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import textwrap

import pytest
import torch
from click.testing import CliRunner

from ckptkit.cli.main import app
from ckptkit.cli.render_check import render
from ckptkit.cli.screen import show
from tests.unit.reports import disaster, good

CODE = """
import torch
from torch import nn

print("noise from an import")

class Net(nn.Module):
    def __init__(self, blocks="blocks", classes=10, depth=3):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.add_module(blocks, nn.ModuleList(nn.Linear(8, 8 + i) for i in range(depth)))
        self.head = nn.Linear(8, classes)

    @classmethod
    def build(cls):
        return cls()

def same(): return Net()
def renamed(): return Net("layers")
def other_head(): return Net(classes=7)
def needs(width): return Net(classes=width)
def huge(): return nn.Linear(400_000, 400_000)
def stranger(): return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6))
def breaks(): raise ValueError("no such size\\x1b[31m\\nand more")
def reads_values(): return nn.Linear(int(torch.ones(1).item()), 1)
def leaves(): raise SystemExit(5)
def nothing(): return None
def opens(): return open("no_such_weights.pt")
def optimizer(model): return torch.optim.AdamW(model.parameters(), lr=1e-3)
def slower(model): return torch.optim.AdamW(model.parameters(), lr=1e-4)
def backwards(model): return torch.optim.AdamW(list(model.parameters())[::-1], lr=1e-3)
instance = Net()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a user's code and a checkpoint of it, entered."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "usercode.py").write_text(CODE)
    (tmp_path / "quits.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "broken.py").write_text("def make(:\n")
    (tmp_path / "lacks.py").write_text("import no_such_package_at_all\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "script.py").write_text(
        "import beside\nfrom usercode import Net\ndef make(): return Net(classes=beside.CLASSES)\n"
    )
    (tmp_path / "sub" / "beside.py").write_text("CLASSES = 10\n")
    for name in ("usercode", "quits", "broken", "lacks", "script", "beside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    scope: dict = {}
    exec(textwrap.dedent(CODE).replace("print(", "str("), scope)
    model = scope["Net"]()
    optimizer = scope["optimizer"](model)
    for parameter in model.parameters():
        parameter.grad = torch.rand_like(parameter)
    optimizer.step()
    torch.save(
        {"epoch": 7, "model_state_dict": model.state_dict(),
         "optimizer_state_dict": optimizer.state_dict()},
        "old.pt",
    )  # fmt: skip
    return tmp_path


def check(*words):
    result = CliRunner().invoke(app, ["check", "old.pt", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def as_json(*words):
    return json.loads(check("--json", *words).stdout)


@pytest.mark.parametrize(
    "spec",
    ["usercode:same", "usercode:Net", "usercode:Net.build", "usercode.py:same",
     "usercode:instance", "sub/script.py:make"],
)  # fmt: skip
def test_whatever_makes_the_model_may_be_named(here, spec):
    result = check("--model", spec)
    assert result.exit_code == 0, result.output
    assert "old.pt  would restore" in result.stdout
    assert "9 of 9 parameters" in result.stdout


def test_what_the_users_code_prints_does_not_get_into_the_answer(here):
    assert as_json("--model", "usercode:same")["ok"] is True
    result = check("--model", "usercode.py:same")
    assert "noise" not in result.stdout


def test_a_file_that_does_not_fit_has_the_exit_code_of_the_restore(here):
    result = check("--model", "usercode:other_head")
    assert result.exit_code == 36
    assert "would be refused" in result.stdout
    assert "[10, 8] in the file, [7, 8] in the model" in result.stdout
    assert check("--model", "usercode:other_head", "--on-shape", "skip").exit_code == 0


@pytest.mark.parametrize("spec", ["usercode:renamed", "usercode:other_head"])
def test_the_options_that_are_proposed_do_it(here, spec):
    told = as_json("--model", spec)
    for advice in told["next"]:
        assert advice["option"]
        assert check("--model", spec, *shlex.split(advice["option"])).exit_code == 0


def test_missing_and_unexpected_names_are_allowed_by_globs(here):
    deeper = ["--model", "usercode:Net", "--kwargs", '{"depth": 4}']
    assert check(*deeper).exit_code == 36
    assert check(*deeper, "--allow-missing", "blocks.3.*").exit_code == 0
    shallow = ["--model", "usercode:Net", "--kwargs", '{"depth": 2}']
    assert check(*shallow).exit_code == 36
    assert check(*shallow, "--allow-unexpected", "blocks.2.*").exit_code == 0


def test_another_model_is_refused_whatever_is_allowed(here):
    every = ["--allow-missing", "*", "--allow-unexpected", "*", "--min-coverage", "0"]
    assert check("--model", "usercode:stranger", *every).exit_code == 37


def test_a_model_beyond_all_memory_is_checked(here):
    told = as_json("--model", "usercode:huge")
    assert told["components"][0]["coverage"]["of_nbytes"] == (400_000**2 + 400_000) * 4


def test_the_optimizer_is_checked_too(here):
    told = as_json("--model", "usercode:same", "--optimizer", "usercode:optimizer")
    assert [one["name"] for one in told["components"]] == ["model", "optimizer"]
    assert told["ok"]


def test_settings_that_differ_are_shown_and_may_be_an_error(here):
    words = ["--model", "usercode:same", "--optimizer", "usercode:slower"]
    settings = as_json(*words)["components"][1]["settings"]
    assert {"field": "lr", "asked": 1e-4, "saved": 1e-3, "used": 1e-3}.items() <= next(
        one for one in settings if one["field"] == "lr"
    ).items()
    assert check(*words, "--on-conflict", "error").exit_code == 39


def test_every_names_each_name(here):
    assert "blocks.{0..2}.bias" in check("--model", "usercode:renamed").stdout
    told = check("--model", "usercode:renamed", "--every").stdout
    assert "blocks.{" not in told
    assert all(f"blocks.{i}.bias" in told for i in range(3))


def test_nothing_is_changed_and_nothing_is_written(here):
    before = {path: path.read_bytes() for path in here.glob("*.pt")}
    check("--model", "usercode:instance", "--device", "cpu")
    assert {path: path.read_bytes() for path in here.glob("*.pt")} == before


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("usercode", "it names no factory"),
        ("usercode:", "it names no factory"),
        ("usercode:sam", "did you mean same?"),
        ("usercode:Net.biuld", "Net has no 'biuld'; did you mean build?"),
        ("no_such_code:make", "there is no module 'no_such_code' here"),
        ("no_such_code.py:make", "there is no file no_such_code.py"),
        ("usercode:CODE", "has no 'CODE'"),
        ("usercode:torch", "it is a module"),
        ("usercode:nothing", "it gives None; expected a torch.nn.Module"),
        ("usercode:needs", "missing 1 required positional argument: 'width'; its arguments"),
        ("usercode:breaks", r"usercode.py:24: ValueError: no such size\x1b[31m and more"),
        ("usercode:leaves", "SystemExit: 5; name a function that makes the model and parses no"),
        ("usercode:opens", "No such file or directory: 'no_such_weights.pt'"),
        ("usercode:reads_values", "--device cpu makes a real model"),
        ("quits:make", "quits.py:2: SystemExit: 3; put what the script runs under"),
        ("broken:make", "broken.py:1: SyntaxError"),
        ("lacks:make", "lacks.py:1: ModuleNotFoundError: No module named 'no_such_package_at_all'"),
    ],
)
def test_what_is_wrong_with_the_factory_is_one_line(here, spec, said):
    result = check("--model", spec)
    assert result.exit_code == 11
    assert said in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert ("--device cpu" in result.stderr) == (
        spec in ("usercode:breaks", "usercode:reads_values")
    )


@pytest.mark.parametrize("spec", ["usercode:same", "usercode:slowr", "nowhere:make"])
def test_a_wrong_factory_of_the_optimizer_is_told_as_that(here, spec):
    result = check("--model", "usercode:same", "--optimizer", spec)
    assert result.exit_code == 11
    told = result.stderr.splitlines()[-1]
    assert told.startswith(f"error: --optimizer {spec}: ")
    assert "--args" not in told


def test_faults_are_told_in_options_and_not_in_arguments(here):
    for spec in ("usercode:renamed", "usercode:other_head", "usercode:stranger"):
        told = check("--model", spec).stdout
        for word in ("allow_missing", "allow_unexpected", "on_shape", "apply_proposals"):
            assert word not in told
    assert "--on-shape skip or slice" in check("--model", "usercode:other_head").stdout
    absent = check("--model", "usercode:same", "--use", "ema").stdout
    assert "--use raw" in absent
    assert "use=" not in absent
    other = check("--model", "usercode:same", "--section", "modle").stdout
    assert "--section model" in other


def test_arguments_of_the_factory(here):
    assert check("--model", "usercode:needs", "--args", "[10]").exit_code == 0
    assert check("--model", "usercode:needs", "--kwargs", '{"width": 10}').exit_code == 0
    for words in (["--args", "{}"], ["--args", "[1"], ["--kwargs", "[1]"]):
        assert check("--model", "usercode:needs", *words).exit_code == 2


def test_code_that_reads_values_runs_on_a_real_device(here):
    words = ["--model", "usercode:reads_values", "--device", "cpu"]
    assert check(*words).exit_code == 36
    assert check("--model", "usercode:same", "--device", "nonsense").exit_code == 11


@pytest.mark.parametrize("rule", ["nothing", "=new", "(=x", r"a=\7"])
def test_a_rule_that_is_none_is_a_usage_error(here, rule):
    assert check("--model", "usercode:same", "--rename", rule).exit_code == 2


def test_a_path_that_is_nothing_is_told_before_any_code_runs(here):
    result = CliRunner().invoke(app, ["check", "nowhere.pt", "--model", "quits:make"])
    assert result.exit_code == 3


def test_the_module_path_is_as_it_was_afterwards(here):
    before = list(sys.path)
    check("--model", "sub/script.py:make")
    assert sys.path == before


def test_without_torch_it_is_said_what_to_install(here):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from ckptkit.cli.main import app\n"
        "app.main(['check', 'old.pt', '--model', 'usercode:same'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 51
    assert "pip install 'ckptkit[torch]'" in done.stderr


def test_help_and_completion_of_sections_need_no_torch(here):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from ckptkit.cli.main import app\n"
        "app.main(['check', '--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--allow-missing" in done.stdout


def test_a_disaster_fits_two_screens_and_says_what_to_type(capsys):
    show(render(disaster(), every=False))
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 70
    assert "--apply-renames" in out
    assert r"--rename '^transformer\.h\.(\d+)\.ln_1\.=layers.\1.ln.'" in out
    assert "--every names them all" in out


def test_a_good_report_is_short(capsys):
    show(render(good(), every=False))
    assert len(capsys.readouterr().out.splitlines()) <= 14


@pytest.mark.parametrize("more", [[], ["--every"], ["--json"]])
def test_names_from_a_file_are_escaped(here, more):
    names = ["\x1b[2J\x1b[31mred", "\u202egpj.exe", "a\nb", "\x9b31m", "[bold]x", "\u200bzero"]
    torch.save({f"{name}{i}": torch.zeros(2) for i, name in enumerate(names)}, "nasty.pt")
    result = CliRunner().invoke(app, ["check", "nasty.pt", "--model", "usercode:same", *more])
    assert result.exit_code == 36
    assert [char for char in result.stdout if not char.isprintable() and char != "\n"] == []

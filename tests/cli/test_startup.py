"""Start-up is fast because little is imported: this holds what is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "safetensors", "importlib.metadata", "asyncio", "multiprocessing"}


def imported(*words) -> set[str]:
    """The modules of a process that ran a command line."""
    code = (
        "import sys, json, io, contextlib\n"
        "from ckptkit.cli.main import app\n"
        "out = io.StringIO()\n"
        "try:\n"
        "    with contextlib.redirect_stdout(out):\n"
        f"        app.main({[str(word) for word in words]!r})\n"
        "except SystemExit as exc:\n"
        "    assert exc.code == 0, out.getvalue()\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


KINDS = ["training.pt", "legacy.pth", "weights.safetensors", "sealed"]


@pytest.mark.parametrize("name", KINDS)
def test_inspect_never_imports_torch_or_numpy(zoo, name):
    assert not imported("inspect", zoo / name) & HEAVY


@pytest.mark.parametrize("name", KINDS)
def test_with_json_rich_is_not_imported(zoo, name):
    assert "rich" not in imported("inspect", "--json", zoo / name)


@pytest.mark.parametrize("words", [["list"], ["scan"], ["verify"]])
def test_no_reading_command_imports_torch(zoo, words):
    target = zoo if words == ["list"] else zoo / "training.pt"
    modules = imported(*words, "--json", target)
    assert not modules & {"torch", "numpy", "rich"}


def test_migrate_imports_no_torch(zoo, tmp_path):
    modules = imported("migrate", "--json", zoo / "training.pt", tmp_path / "out")
    assert not modules & {"torch", "numpy", "rich"}


def test_only_what_a_file_needs_is_imported(zoo):
    safetensors = imported("inspect", "--json", zoo / "weights.safetensors")
    assert not {name for name in safetensors if "pickle" in name and name.startswith("ckptkit.c")}
    assert "ckptkit.schema.manifest" not in safetensors
    sealed = imported("inspect", "--json", zoo / "sealed")
    assert not {name for name in sealed if name.startswith("ckptkit.dialects.")}


def test_help_imports_no_command(zoo):
    modules = imported("--help")
    assert not {name for name in modules if name.startswith("ckptkit.") and ".cli" not in name} - {
        "ckptkit.errors",
        "ckptkit.version",
    }


def test_the_public_package_imports_nothing_heavy():
    code = "import sys, ckptkit; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("torch", "numpy", "click", "rich", "pluggy", "msgpack"):
        assert f"'{name}'" not in done.stdout


def test_numpy_is_imported_for_stats_alone(zoo):
    assert "numpy" in imported("inspect", "--json", "--stats", zoo / "views.pt")


@pytest.mark.parametrize("words", [["inspect", "sealed"], ["inspect", "training.pt"], ["plugins"]])
def test_the_plugins_of_the_trainers_bring_no_trainer_into_a_command_that_reads(zoo, words):
    target = [zoo / words[1]] if words[1:] else []
    modules = imported(words[0], "--json", *target)
    assert any(name.startswith("ckptkit_plugins.") for name in modules)
    strangers = {name for name in modules if name.startswith("ckptkit_trainers.")}
    if words == ["plugins"]:  # it counts settings, which are of modules that need nothing
        assert not modules & HEAVY
    else:
        assert not strangers

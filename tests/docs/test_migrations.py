"""The code of docs/migrations.md, "Migrators of your own", runs as it stands."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from ckptkit import algebra  # noqa: E402
from ckptkit.cli.main import app  # noqa: E402

TEXT = (Path(__file__).parents[2] / "docs" / "migrations.md").read_text(encoding="utf-8")
PART = TEXT.split("# Migrators of your own\n")[1]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PART, re.MULTILINE | re.DOTALL)


class Layer(torch.nn.Module):
    def __init__(self, names):
        super().__init__()
        for name, size in names.items():
            setattr(self, name, torch.nn.Linear(4, size, bias=False))


class Net(torch.nn.Module):
    def __init__(self, words, container, names):
        super().__init__()
        self.words = torch.nn.Embedding(words, 4)
        setattr(self, container, torch.nn.ModuleList(Layer(names) for _ in range(2)))


def optimizer_of(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = Net(10, "blocks", {"qkv": 12})
    state = {"model": old.state_dict(), "optimizer": optimizer_of(old).state_dict(), "epoch": 1}
    torch.save(state, tmp_path / "old.pt")
    return tmp_path, old


def test_every_block_of_python_runs(place):
    model = Net(16, "layers", {"q": 4, "k": 4, "v": 4})
    namespace = {"model": model, "optimizer": optimizer_of(model)}
    for block in blocks("python"):
        exec(compile(block, "docs/migrations.md", "exec"), namespace)
    _, old = place
    assert torch.equal(model.layers[1].k.weight, old.blocks[1].qkv.weight[4:8])
    assert torch.equal(model.words.weight[:10], old.words.weight)
    assert namespace["spell_it_out"].title == "lr is called learning_rate"


def test_every_command_runs_and_leads_back(place):
    tmp_path, old = place
    (tmp_path / "gpt_migrators.py").write_text(blocks("python")[0])
    for line in blocks("console")[0].splitlines():
        result = CliRunner().invoke(app, shlex.split(line.removeprefix("$ ckptkit ")))
        assert result.exit_code == 0, result.output
    from safetensors.torch import load_file

    back = load_file(tmp_path / "back" / "model.safetensors")
    assert set(back) == set(old.state_dict())
    assert all(torch.equal(back[name], value) for name, value in old.state_dict().items())


def test_the_table_has_every_operation_with_its_own_parameters():
    rows = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", PART, re.MULTILINE))
    ours = {
        name: value
        for name, value in vars(algebra).items()
        if isinstance(value, type)
        and issubclass(value, algebra.Operation)
        and value is not algebra.Operation
    }
    assert set(rows) == set(ours)
    for name, text in rows.items():
        parameters = [
            p for p in inspect.signature(ours[name]).parameters.values() if p.kind != p.KEYWORD_ONLY
        ]
        shown = re.sub(r"\([^()]*\)|\{[^}]*\}", "x", re.sub(r"=\([^()]*\)", "=x", text)).split(", ")
        assert len(shown) == len(parameters), name
        for part, parameter in zip(shown, parameters, strict=True):
            word, equals, _ = part.partition("=")
            assert bool(equals) == (parameter.default is not parameter.empty), (name, part)
            assert not equals or word == parameter.name, (name, part)

"""``ckptkit migrate``: the report, the proof, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors import safe_open


@pytest.fixture
def source(zoo, tmp_path):
    return shutil.copy(zoo / "training.pt", tmp_path / "training.pt")


def test_the_report_says_where_every_key_went_and_that_it_was_proved(call, source):
    result = call("migrate", source)
    assert result.exit_code == 0, result.output
    for told in (
        "model_state_dict/*",
        "model/*",
        "optimizer_state_dict/*",
        "96 tensors",
        "read back equal",
    ):
        assert told in result.stdout
    with safe_open(source.parent / "training" / "model.safetensors", "pt") as file:
        assert "11.weight" in file.keys()  # noqa: SIM118
    assert source.exists()


def test_a_dry_run_writes_nothing_and_tells_the_same(call, source, tmp_path):
    dry = json.loads(call("migrate", "--dry-run", "--json", source).stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["training.pt"]
    real = json.loads(call("migrate", "--json", source).stdout)
    assert (dry["dry_run"], real["dry_run"]) == (True, False)
    assert (dry["proved"], real["proved"]) == (False, True)
    assert dry["placed"] == real["placed"]
    assert all(row["target"] for row in real["placed"])


def test_an_existing_target_is_refused_and_replaced_on_request(call, source):
    assert call("migrate", source).exit_code == 0
    again = call("migrate", source)
    assert again.exit_code == 42
    assert "--replace" in again.stderr
    assert call("migrate", "--replace", source).exit_code == 0


def test_a_target_can_be_named(call, source, tmp_path):
    assert call("migrate", source, tmp_path / "named").exit_code == 0
    assert (tmp_path / "named" / "manifest.msgpack").exists()


def test_the_source_goes_only_on_request(call, source):
    assert call("migrate", "--remove-source", source).exit_code == 0
    assert not source.exists()
    assert (source.parent / "training" / "manifest.msgpack").exists()


def test_the_source_stays_when_the_migration_fails(call, source):
    (source.parent / "training").mkdir()
    assert call("migrate", "--remove-source", source).exit_code == 42
    assert source.exists()


def test_a_sealed_checkpoint_needs_no_migration(call, zoo, tmp_path):
    result = call("migrate", zoo / "sealed", tmp_path / "again")
    assert result.exit_code == 32
    assert "sealed" in result.stderr
    assert not (tmp_path / "again").exists()


def test_every_key_by_name(call, source):
    text = call("migrate", "--dry-run", "--every", source).stdout
    assert "model_state_dict/7.weight" in text
    assert "model/7.weight" in text


def test_a_broken_source_leaves_nothing_behind(call, zoo, tmp_path):
    assert call("migrate", zoo / "cut.pt", tmp_path / "out").exit_code == 20
    assert list(tmp_path.iterdir()) == []


def test_a_whole_tree_with_its_failures(call, zoo, tmp_path):
    result = call("migrate", "--recursive", "--json", zoo, tmp_path / "out")
    found = json.loads(result.stdout)
    assert result.exit_code in (5, 20)  # that of the first one that failed
    done = {row["source"].rsplit("/", 1)[1] for row in found["reports"]}
    assert {"training.pt", "legacy.pth", "weights.safetensors", "views.pt"} <= done
    assert all(row["proved"] for row in found["reports"])
    failed = {row["path"].rsplit("/", 1)[1]: row["error"]["kind"] for row in found["failures"]}
    assert failed == {"cut.pt": "TruncatedFile", "empty.pt": "EmptyFile"}
    assert [row["reason"] for row in found["skipped"]] == ["sealed already"]
    assert call("verify", *(tmp_path / "out").iterdir()).exit_code == 0


def test_a_tree_can_be_tried_dry(call, zoo, tmp_path):
    result = call("migrate", "--recursive", "--dry-run", zoo, tmp_path / "out")
    assert "would be migrated" in result.stdout
    assert not (tmp_path / "out").exists()


def test_what_stays_of_a_source_is_shown_and_in_json(call, source, tmp_path):
    folder = tmp_path / "hf"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("mine")
    shutil.move(source, folder / "model.safetensors")  # the content decides, not the name
    (folder / "config.json").write_text("{}")
    text = call("migrate", "--remove-source", folder, tmp_path / "one").stdout
    assert "stays" in text
    assert "a cache or history of a tool" in text
    shutil.copytree(folder, tmp_path / "again")
    (tmp_path / "again" / "config.json").write_text("{}")
    shutil.copy(tmp_path / "one" / "model.safetensors", tmp_path / "again")
    found = json.loads(
        call("migrate", "--remove-source", "--json", tmp_path / "again", tmp_path / "two").stdout
    )
    assert found["source_removed"] is False
    assert found["left_behind"] == [".git/: a cache or history of a tool"]


def test_what_is_no_checkpoint_is_never_replaced(call, source, tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "notes.txt").write_text("mine")
    for words in ((), ("--replace",), ("--replace", "--dry-run")):
        result = call("migrate", *words, source)
        assert result.exit_code == 42
        assert "notes.txt" in result.stderr
    assert (tmp_path / "training" / "notes.txt").read_text() == "mine"
    assert call("migrate", "--replace", source, source).exit_code == 42


# -- sections of a trainer ----------------------------------------------------------------------------

MIGRATORS = """
from ckptkit.plugin import Cast, Rename, SectionMigrator, Split

MIGRATORS = [
    SectionMigrator(
        trainer="gpt", section="model", start=1, stop=2, title="the first layer is two",
        operations=(Split("0.weight", ("first.a", "first.b")), Rename({"0.bias": "first.bias"})),
    ),
    SectionMigrator(
        trainer="gpt", section="model", start=2, stop=3, title="half precision",
        operations=(Cast("first.(a|b)", "float16"),),
    ),
]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(MIGRATORS)
    monkeypatch.chdir(tmp_path)
    return "own.py"


def test_a_trainers_migrators_lead_to_a_version_and_back(call, source, own, tmp_path):
    there = call("migrate", source, tmp_path / "two", "--migrators", own, "--to", "2")
    assert there.exit_code == 0, there.output
    assert "model 1 to 2: the first layer is two" in there.stdout
    with safe_open(tmp_path / "two" / "model.safetensors", "pt") as file:
        assert {"first.a", "first.b", "first.bias"} <= set(file.keys())
        assert "0.weight" not in file.keys()  # noqa: SIM118
    back = call(
        "migrate", tmp_path / "two", tmp_path / "one", "--migrators", own, "--to", "model=1"
    )
    assert back.exit_code == 0, back.output
    plain = call("migrate", source, tmp_path / "plain")
    assert plain.exit_code == 0
    one, other = (
        safe_open(tmp_path / name / "model.safetensors", "pt") for name in ("one", "plain")
    )
    with one, other:
        assert set(one.keys()) == set(other.keys())
        assert all(one.get_tensor(n).equal(other.get_tensor(n)) for n in one.keys())  # noqa: SIM118


def test_the_account_of_a_migrated_section_has_every_leaf(call, source, own, tmp_path):
    result = call("migrate", "--json", source, tmp_path / "two", "--migrators", own, "--to", "2")
    told = json.loads(result.stdout)
    rows = {row["source"]: row for row in told["placed"]}
    split = rows["model_state_dict/0.weight"]
    assert (split["target"], split["derived"]) == ("model/first.a", True)
    assert split["note"].startswith('Split("0.weight"')
    renamed = rows["model_state_dict/0.bias"]
    assert (renamed["target"], renamed["derived"]) == ("model/first.bias", False)
    assert all(row["target"] for row in told["placed"])
    assert told["proved"]


def test_what_cannot_be_taken_back_is_refused_by_name_and_nothing_is_written(
    call, source, own, tmp_path
):
    assert call("migrate", source, tmp_path / "three", "--migrators", own).exit_code == 0
    back = call("migrate", tmp_path / "three", tmp_path / "one", "--migrators", own, "--to", "1")
    assert back.exit_code == 32
    assert "half precision" in back.stderr
    assert 'Cast("first.(a|b)", "float16"): cannot be taken back' in back.stderr
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "seen"),
    [
        (("--to", "2"), 32, "names no trainer"),
        (("--to", "2", "--trainer", "gpt"), 32, "no section"),
        (("--to", "model=2", "--trainer", "gpt"), 32, "none is registered"),
        (("--to", "two"), 2, "no version"),
        (("--to", "1", "--to", "2"), 2, "given twice"),
        (("--migrators", "nowhere.py"), 11, "there is no file nowhere.py"),
        (("--migrators", "json"), 32, "holds no migrators"),
        (("--out", "x.py"), 2, "--out belongs to --autogenerate"),
        (("--migrators", "own.py", "--to", "ema=2"), 32, "ema"),
        (("--migrators", "own.py", "--to", "7"), 32, "no migrator leads from version 3"),
    ],
)
def test_what_is_asked_wrongly_is_one_paragraph(call, source, own, tmp_path, arguments, code, seen):
    result = call("migrate", source, tmp_path / "new", *arguments)
    assert result.exit_code == code, result.output
    assert seen in " ".join(result.stderr.split())
    assert not (tmp_path / "new").exists()


def test_a_sealed_source_with_nothing_to_do_is_refused(call, source, own, tmp_path):
    assert call("migrate", source, tmp_path / "two", "--migrators", own, "--to", "2").exit_code == 0
    again = call("migrate", tmp_path / "two", tmp_path / "x", "--migrators", own, "--to", "2")
    assert again.exit_code == 32
    assert "has the asked versions already" in again.stderr


def test_a_migrator_is_written_and_used(call, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "today.py").write_text(
        "from torch import nn\n\n\ndef make():\n    net = nn.Sequential(*[nn.Linear(2, 2) for _ in range(99)])\n    return net\n"
    )
    made = call("migrate", "--autogenerate", "today:make", source, "--out", "m.py", "--json")
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert told["out"] == "m.py"
    assert told["text"] == (tmp_path / "m.py").read_text()
    assert call("migrate", "--autogenerate", "today:make", source, "--out", "m.py").exit_code == 42
    assert call("migrate", "--autogenerate", "today:make", source).stdout == told["text"]


def test_a_file_that_would_run_code_is_migrated_with_a_warning(call, zoo, tmp_path):
    done = call("migrate", zoo / "evil.pt", tmp_path / "out")
    assert done.exit_code == 0
    assert "danger: unpickling the source would run" in done.stdout
    assert "system" in done.stdout
    honest = call("migrate", zoo / "training.pt", tmp_path / "other")
    assert "danger" not in honest.stdout


def test_a_hundred_keys_that_moved_by_a_rule_are_few_rows(call, tmp_path):
    model = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(30)))
    model.add_module("norm", torch.nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, tmp_path / "old.pt")
    (tmp_path / "mine.py").write_text(
        "from ckptkit.plugin import Rename, SectionMigrator, Split\n"
        "MIGRATORS = [SectionMigrator(trainer='t', section='model', start=1, stop=2, title='x',\n"
        "    operations=(Rename({r'([0-9]+)\\.(.*)': r'blocks.\\1.\\2'}),\n"
        "                Split('blocks.3.weight', ('blocks.3.a', 'blocks.3.b'), 0)))]\n"
    )
    words = ("migrate", tmp_path / "old.pt", tmp_path / "new", "--migrators", tmp_path / "mine.py")
    done = call(*words, "--dry-run")
    assert done.exit_code == 0, done.output
    rows = done.stdout.split("\n\n")[1].splitlines()
    assert len(rows) < 25
    assert sum("._metadata" in row for row in rows) == 1
    assert "blocks." in done.stdout
    every = call(*words, "--dry-run", "--every").stdout
    assert len(every.splitlines()) > 200

"""``ckptkit migrate``: the report, the proof, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
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

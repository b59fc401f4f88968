"""What `migrate` promises beside losing nothing: whole or absent, the source in place, said in words."""

import errno
import os
import shutil
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file

from ckptkit.errors import (
    ChecksumError,
    DiskFullError,
    LimitExceededError,
    MigrationError,
    NoCheckpointError,
    NotFoundError,
    TargetExistsError,
    TruncatedFileError,
)
from ckptkit.nodes import MapNode
from ckptkit.testing.faults import failing_at, intercepted
from ckptkit.types import Limits
from ckptkit.verbs.migrate import MigrateOptions, default_target, migrate
from ckptkit.verbs.migrate_tree import migrate_tree
from ckptkit.verbs.open import load


@pytest.fixture
def source(tmp_path):
    state = {
        "epoch": 3,
        "model_state_dict": OrderedDict(
            {"module.w": torch.arange(6.0).reshape(2, 3), "module.b": torch.ones(3)}
        ),
        "optimizer_state_dict": torch.optim.SGD([torch.zeros(1)], lr=0.1).state_dict(),
    }
    torch.save(state, tmp_path / "run.pt")
    return tmp_path / "run.pt"


def below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_the_result_lies_beside_the_source_which_stays(source):
    before = source.read_bytes()
    report = migrate(source)
    assert report.target == source.with_name("run")
    assert source.read_bytes() == before
    assert "model.safetensors" in below(report.target)
    assert torch.equal(
        load_file(report.target / "model.safetensors")["w"], torch.arange(6.0).reshape(2, 3)
    )


def test_a_dry_run_writes_nothing_and_tells_the_same(source, tmp_path):
    dry = migrate(source, options=MigrateOptions(dry_run=True))
    assert below(tmp_path) == ["run.pt"]
    wet = migrate(source)
    assert (dry.placed, dry.sealing.files) == (wet.placed, wet.sealing.files)
    assert (dry.proved, wet.proved) == (False, True)


def test_a_target_that_exists_is_refused_until_replacing_is_asked_for(source, tmp_path):
    migrate(source)
    for dry_run in (False, True):
        with pytest.raises(TargetExistsError, match="--replace"):
            migrate(source, options=MigrateOptions(dry_run=dry_run))
    before = (tmp_path / "run").stat().st_ino
    migrate(source, options=MigrateOptions(replace=True))
    assert (tmp_path / "run").stat().st_ino != before
    assert below(tmp_path / "run") == ["manifest.msgpack", "model.safetensors"]


def test_the_source_goes_only_after_the_proof(source, tmp_path):
    report = migrate(source, options=MigrateOptions(remove_source=True))
    assert report.proved
    assert report.source_removed
    assert not source.exists()
    source.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(Exception, match=r"run\.pt"):
        migrate(source, tmp_path / "again", MigrateOptions(remove_source=True))
    assert source.exists()
    assert not (tmp_path / "again").exists()


def test_what_was_renamed_is_remembered(source):
    migrate(source)
    with load(source.with_name("run")) as sealed:
        origin = sealed.document["provenance"]["migrated_from"]
        assert origin["dialect"] == "training-dict"
        assert origin["renamed"]["model"]["w"] == "module.w"


def test_a_sealed_checkpoint_is_not_migrated_again(source):
    migrate(source)
    with pytest.raises(MigrationError, match="already"):
        migrate(source.with_name("run"), source.with_name("other"))


def test_damage_in_the_source_stops_the_migration_and_leaves_nothing(source, tmp_path):
    data = bytearray(source.read_bytes())
    place = data.find(torch.arange(6.0).numpy().tobytes())
    assert place > 0
    data[place] ^= 1
    source.write_bytes(data)
    with pytest.raises(ChecksumError):
        migrate(source)
    assert below(tmp_path) == ["run.pt"]


def test_a_source_cut_short_leaves_nothing(source, tmp_path):
    source.write_bytes(source.read_bytes()[:-200])
    with pytest.raises(TruncatedFileError):
        migrate(source)
    assert below(tmp_path) == ["run.pt"]


def test_a_full_disk_leaves_nothing_and_says_how_much_is_needed(source, tmp_path):
    full = failing_at(1, errno.ENOSPC, ("pwrite",), lasting=True)
    with intercepted(full), pytest.raises(DiskFullError) as caught:
        migrate(source)
    assert "byte" in str(caught.value)
    assert below(tmp_path) == ["run.pt"]


def test_bytes_that_read_back_different_are_never_committed(source, tmp_path, monkeypatch):
    from ckptkit.verbs import readback

    real = readback.digest_many

    def flipped(sources, **options):
        digests = real(sources, **options)
        return [bytes([digests[0][0] ^ 1]) + digests[0][1:], *digests[1:]]

    monkeypatch.setattr(readback, "digest_many", flipped)
    with pytest.raises(MigrationError, match="reads back different"):
        migrate(source)
    assert below(tmp_path) == ["run.pt"]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a.pt", "a"),
        ("a.b.ckpt", "a.b"),
        ("m.pth.tar", "m"),
        ("noext", "noext.v2"),
        (".pt", ".pt.v2"),
    ],
)
def test_the_default_name_loses_only_a_checkpoints_suffix(tmp_path, name, target):
    assert default_target(tmp_path / name) == tmp_path / target


def test_a_tree_is_migrated_piece_by_piece(source, tmp_path):
    (tmp_path / "sub").mkdir()
    shutil.copy(source, tmp_path / "sub" / "run.pt")
    shutil.copy(source, tmp_path / "sub" / "run.pth")
    (tmp_path / "sub" / "bad.pt").write_bytes(source.read_bytes()[:300])
    report = migrate_tree(tmp_path, tmp_path / "out")
    assert sorted(one.target.relative_to(tmp_path / "out").as_posix() for one in report.reports) == [
        "run", "sub/run", "sub/run.pth.v2",
    ]  # fmt: skip
    assert [failure.source.name for failure in report.failures] == ["bad.pt"]
    again = migrate_tree(tmp_path, tmp_path / "out")
    assert again.reports == ()
    assert len(again.skipped) >= 3


def test_a_tree_without_checkpoints_says_so(tmp_path):
    with pytest.raises(NoCheckpointError):
        migrate_tree(tmp_path)
    with pytest.raises(NotFoundError):
        migrate_tree(tmp_path / "nowhere")


def test_side_files_of_a_folder_travel_byte_for_byte(tmp_path):
    from safetensors.torch import save_file

    folder = tmp_path / "hf"
    (folder / "tok").mkdir(parents=True)
    save_file({"w": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes(b'{"model_type":  "x"}\n')
    (folder / "tok" / "vocab.txt").write_bytes(b"\xff\x00a")
    migrate(folder, tmp_path / "out")
    assert (tmp_path / "out" / "config.json").read_bytes() == b'{"model_type":  "x"}\n'
    assert (tmp_path / "out" / "tok" / "vocab.txt").read_bytes() == b"\xff\x00a"


def test_sealing_twice_gives_the_same_bytes(source, tmp_path):
    migrate(source, tmp_path / "one")
    migrate(source, tmp_path / "two", MigrateOptions(workers=5))
    for name in below(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_file_of_a_sealed_folder_that_shrank_or_went_is_named(source):
    migrate(source)
    folder = source.with_name("run")
    (folder / "note.txt").write_text("hello")
    with load(folder) as sealed:
        assert any("note.txt" in notice.message for notice in sealed.notices)
    os.truncate(folder / "model.safetensors", 10)
    with pytest.raises(TruncatedFileError, match=r"model\.safetensors"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(Exception, match=r"model\.safetensors"):
        load(folder)


def test_the_document_of_version_2_has_every_section_in_order(source):
    with load(source) as checkpoint:
        assert isinstance(checkpoint.document, MapNode)
        assert list(checkpoint.document) == ["model", "optimizer", "progress"]


def test_many_expanded_views_of_one_byte_do_not_fill_the_disk(tmp_path):
    byte = torch.zeros(1, dtype=torch.uint8)
    torch.save({f"w{i}": byte.expand((60 << 20) + i) for i in range(40)}, tmp_path / "wide.pt")
    with pytest.raises(LimitExceededError, match="max_growth_nbytes"):
        migrate(tmp_path / "wide.pt")
    assert below(tmp_path) == ["wide.pt"]
    limits = Limits(max_growth_nbytes=3 << 30)
    report = migrate(tmp_path / "wide.pt", options=MigrateOptions(dry_run=True, limits=limits))
    assert report.sealing.tensor_nbytes > 40 * (60 << 20)


def test_an_honest_expanded_tensor_is_written_whole(tmp_path):
    torch.save({"w": torch.arange(4.0).reshape(4, 1).expand(4, 1000)}, tmp_path / "x.pt")
    migrate(tmp_path / "x.pt")
    assert load_file(tmp_path / "x" / "model.safetensors")["w"].shape == (4, 1000)

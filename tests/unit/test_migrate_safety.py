"""`migrate` never takes what is not its own: targets, sources, links, trees, names of files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file

from ckptkit.errors import (
    TargetExistsError,
    UnsafePathError,
    WriteFailedError,
)
from ckptkit.testing.faults import failing_at, intercepted
from ckptkit.verbs.layout import unique_names
from ckptkit.verbs.migrate import MigrateOptions, default_target, migrate
from ckptkit.verbs.migrate_tree import migrate_tree
from ckptkit.verbs.open import load
from ckptkit.verbs.side_names import SideNames
from tests.growth import grows_in_step

REPLACE = MigrateOptions(replace=True)
REMOVE = MigrateOptions(remove_source=True)


@pytest.fixture
def source(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "run.pt")
    return tmp_path / "run.pt"


def hf_folder(folder):
    folder.mkdir(parents=True)
    save_file({"w": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text('{"model_type": "x"}')
    return folder


def everything(folder):
    """Each path below with its bytes, links unfollowed."""
    return {
        path.relative_to(folder).as_posix(): (
            os.readlink(path)
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else None
        )
        for path in sorted(folder.rglob("*"))
    }


def refuse(error, *args, match, **options):
    for dry_run in (True, False):
        with pytest.raises(error, match=match):
            migrate(*args, MigrateOptions(dry_run=dry_run, **options))


# -- what --replace may replace ---------------------------------------------------------------------


def test_a_folder_of_other_files_is_never_replaced(source, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years")
    before = everything(tmp_path)
    refuse(TargetExistsError, source, tmp_path / "thesis", match="chapter1.tex", replace=True)
    assert everything(tmp_path) == before


def test_a_file_and_a_link_are_never_replaced(source, tmp_path):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "broken").symlink_to("nowhere")
    before = everything(tmp_path)
    refuse(TargetExistsError, source, tmp_path / "notes", match="is a file", replace=True)
    refuse(TargetExistsError, source, tmp_path / "link", match="symbolic link", replace=True)
    refuse(TargetExistsError, source, tmp_path / "broken", match="symbolic link", replace=True)
    assert everything(tmp_path) == before


def test_strangers_in_a_sealed_folder_are_named_and_kept(source, tmp_path):
    migrate(source)
    (tmp_path / "run" / "mine.txt").write_text("keep")
    (tmp_path / "run" / ".git").mkdir()
    (tmp_path / "run" / ".git" / "HEAD").write_text("keep")
    before = everything(tmp_path)
    refuse(
        TargetExistsError, source, tmp_path / "run", match=r"\.git/HEAD, mine\.txt", replace=True
    )
    assert everything(tmp_path) == before


def test_a_manifest_that_nobody_can_read_vouches_for_nothing(source, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.msgpack").write_bytes(b"mine")
    refuse(TargetExistsError, source, tmp_path / "run", match="cannot be read", replace=True)


def test_an_empty_folder_may_be_replaced(source, tmp_path):
    (tmp_path / "run").mkdir()
    migrate(source, options=REPLACE)
    assert (tmp_path / "run" / "manifest.msgpack").exists()


def test_what_appears_in_the_target_during_the_writing_is_kept(source, tmp_path):
    migrate(source)
    mine = tmp_path / "run" / "mine.txt"
    options = MigrateOptions(replace=True, started=lambda _: mine.write_text("keep"))
    with pytest.raises(TargetExistsError, match=r"mine\.txt"):
        migrate(source, options=options)
    assert mine.read_text() == "keep"
    assert sorted(os.listdir(tmp_path)) == ["run", "run.pt"]


def test_a_replaced_checkpoint_that_cannot_be_removed_is_told(source, monkeypatch):
    migrate(source)
    monkeypatch.setattr("ckptkit.storage.atomic.remove", lambda _: False)
    report = migrate(source, options=REPLACE)
    assert report.proved
    told = [notice for notice in report.notices if notice.code == "old-left"]
    assert (Path(told[0].where) / "manifest.msgpack").exists()


# -- source and target apart ------------------------------------------------------------------------


def test_the_source_itself_is_no_target(source, tmp_path):
    before = everything(tmp_path)
    refuse(TargetExistsError, source, source, match="source itself", replace=True)
    (tmp_path / "alias").symlink_to(".")
    refuse(TargetExistsError, source, tmp_path / "alias" / "run.pt", match="itself", replace=True)
    (tmp_path / "alias").unlink()
    assert everything(tmp_path) == before


def test_a_folder_that_holds_the_source_is_no_target(tmp_path):
    (tmp_path / "q" / "sub").mkdir(parents=True)
    torch.save({"w": torch.ones(2)}, tmp_path / "q" / "sub" / "x.pt")
    hf_folder(tmp_path / "q" / "hf")
    before = everything(tmp_path)
    for inner in ("sub/x.pt", "hf"):
        refuse(
            TargetExistsError, tmp_path / "q" / inner, tmp_path / "q", match="holds", replace=True
        )
    refuse(
        TargetExistsError, tmp_path / "q/sub/x.pt", tmp_path / "q/sub", match="holds", replace=True
    )
    assert everything(tmp_path) == before


def test_the_inside_of_the_source_or_of_a_sealed_folder_is_no_target(source, tmp_path):
    folder = hf_folder(tmp_path / "hf")
    (tmp_path / "link").symlink_to("hf")
    refuse(WriteFailedError, folder, folder / "v2", match="inside the source")
    refuse(WriteFailedError, folder, tmp_path / "link" / "v2", match="inside the source")
    migrate(source)
    refuse(WriteFailedError, folder, tmp_path / "run" / "new", match="sealed checkpoint")


# -- removing the source ----------------------------------------------------------------------------


def test_only_the_files_that_were_read_are_removed(tmp_path):
    folder = hf_folder(tmp_path / "hf")
    (folder / "tok").mkdir()
    (folder / "tok" / "vocab.txt").write_text("a")
    hf_folder(folder / "checkpoint-5")
    for tool in (".git", ".cache", "__pycache__"):
        (folder / tool).mkdir()
        (folder / tool / "x").write_text("mine")
    (folder / "link").symlink_to("config.json")
    (folder / "empty").mkdir()
    report = migrate(folder, tmp_path / "out", REMOVE)
    assert not report.source_removed
    assert sorted(os.listdir(folder)) == [
        ".cache", ".git", "__pycache__", "checkpoint-5", "empty", "link",
    ]  # fmt: skip
    assert sorted(os.listdir(folder / "checkpoint-5")) == ["config.json", "model.safetensors"]
    told = dict(line.split(": ", 1) for line in report.left_behind)
    assert told["checkpoint-5/"] == "a checkpoint of its own"
    assert "tool" in told[".git/"]
    assert "link" in told["link"]
    assert set(told) == {".cache/", ".git/", "__pycache__/", "checkpoint-5/", "empty/", "link"}
    assert [notice.level for notice in report.notices if notice.code == "source-left"] == [
        "warning"
    ]


def test_a_folder_that_was_read_whole_goes_whole(tmp_path):
    folder = hf_folder(tmp_path / "hf")
    (folder / "tok").mkdir()
    (folder / "tok" / "vocab.txt").write_text("a")
    report = migrate(folder, tmp_path / "out", REMOVE)
    assert report.source_removed
    assert report.left_behind == ()
    assert not folder.exists()


def test_shards_go_with_their_index(tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for tensor, shard in names.items():
        save_file({tensor: torch.ones(2)}, folder / shard)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    (folder / "README.md").write_text("mine")
    report = migrate(index, tmp_path / "out", REMOVE)
    assert report.source_removed
    assert os.listdir(folder) == ["README.md"]


@pytest.mark.filterwarnings("ignore:torch.distributed:UserWarning")
def test_a_dcp_folder_keeps_the_shards_that_nobody_names(tmp_path):
    import torch.distributed.checkpoint as dcp

    folder = tmp_path / "dcp"
    dcp.save({"w": torch.ones(4)}, checkpoint_id=str(folder), no_dist=True)
    (folder / "__7_0.distcp").write_bytes(b"other")
    report = migrate(folder, tmp_path / "out", REMOVE)
    assert not report.source_removed
    assert os.listdir(folder) == ["__7_0.distcp"]
    assert "not read" in report.left_behind[0]


def test_a_link_as_source_may_not_be_removed(source, tmp_path):
    (tmp_path / "latest.pt").symlink_to("run.pt")
    refuse(UnsafePathError, tmp_path / "latest.pt", None, match="link", remove_source=True)
    assert source.exists()
    assert migrate(tmp_path / "latest.pt").proved


def test_a_source_that_was_written_anew_meanwhile_stays(source, tmp_path):
    torch.save({"w": torch.zeros(9)}, tmp_path / "next")
    newer = (tmp_path / "next").read_bytes()
    options = MigrateOptions(
        remove_source=True, started=lambda _: os.replace(tmp_path / "next", source)
    )
    report = migrate(source, options=options)
    assert not report.source_removed
    assert "changed" in report.left_behind[0]
    assert source.read_bytes() == newer


def test_a_source_that_was_replaced_while_it_was_opened_stays(source, tmp_path, monkeypatch):
    torch.save({"w": torch.zeros(9)}, tmp_path / "next")
    module = sys.modules["ckptkit.verbs.migrate"]
    real = module.load

    def slow_load(path, **options):
        checkpoint = real(path, **options)
        os.replace(tmp_path / "next", source)
        return checkpoint

    monkeypatch.setattr(module, "load", slow_load)
    report = migrate(source, options=REMOVE)
    assert not report.source_removed
    assert source.exists()


def test_a_removal_that_fails_is_told_and_stops_nobody(source, tmp_path, monkeypatch):
    torch.save({"w": torch.ones(3)}, tmp_path / "other.pt")
    real = Path.unlink

    def unlink(path, missing_ok=False):
        if path == source:
            raise PermissionError(1, "Operation not permitted")
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    report = migrate_tree(tmp_path, options=REMOVE)
    done = {one.source.name: one for one in report.reports}
    assert done["run.pt"].proved
    assert not done["run.pt"].source_removed
    assert "not permitted" in done["run.pt"].left_behind[0]
    assert done["other.pt"].source_removed
    assert source.exists()


# -- trees ------------------------------------------------------------------------------------------


def test_a_target_that_is_a_source_of_the_same_run_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pt")  # would go to a/
    torch.save({"w": torch.zeros(2)}, tmp_path / "a" / "inner.pt")
    report = migrate_tree(tmp_path, options=REPLACE)
    failed = {failure.source.name: failure.error for failure in report.failures}
    assert isinstance(failed["a.pt"], TargetExistsError)
    assert [one.source.name for one in report.reports] == ["inner.pt"]
    assert (tmp_path / "a" / "inner.pt").exists()


def test_a_second_run_touches_nothing_inside_sealed_folders(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pt")
    migrate_tree(tmp_path)
    (tmp_path / "a" / "sub").mkdir()
    torch.save({"w": torch.ones(5)}, tmp_path / "a" / "sub" / "x.pt")
    before = everything(tmp_path)
    for root in (tmp_path, tmp_path / "a" / "sub"):
        for options in (REMOVE, MigrateOptions()):
            report = migrate_tree(root, options=options)
            assert report.reports == ()
            assert everything(tmp_path) == before


def test_children_go_before_their_parents(tmp_path):
    folder = hf_folder(tmp_path / "hf")
    hf_folder(folder / "checkpoint-5")
    report = migrate_tree(tmp_path, tmp_path / "out", REMOVE)
    assert report.failures == ()
    assert [one.source.name for one in report.reports] == ["checkpoint-5", "hf"]
    assert not folder.exists()


def test_shards_travel_with_their_index_alone(tmp_path):
    names = {"a": "foo-1.safetensors", "b": "foo-2.safetensors"}
    for tensor, shard in names.items():
        save_file({tensor: torch.ones(2)}, tmp_path / shard)
    index = {"metadata": {}, "weight_map": names}
    (tmp_path / "foo.safetensors.index.json").write_text(json.dumps(index))
    report = migrate_tree(tmp_path, options=REMOVE)
    assert report.failures == ()
    assert [one.source.name for one in report.reports] == ["foo.safetensors.index.json"]
    assert os.listdir(tmp_path) == [report.reports[0].target.name]


def test_a_failure_in_a_tree_leaves_no_new_folders(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    torch.save({"w": torch.ones(2000)}, tmp_path / "in" / "deep" / "x.pt")
    full = failing_at(1, 28, ("pwrite",), lasting=True)
    with intercepted(full):
        report = migrate_tree(tmp_path / "in", tmp_path / "out")
    assert len(report.failures) == 1
    assert not (tmp_path / "out").exists()


# -- default names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "target"),
    [(".", "hf.v2"), ("", "hf.v2"), ("./", "hf.v2"), ("tok/..", "hf.v2"), ("../hf/", "hf.v2")],
)
def test_the_default_target_of_a_folder_said_by_dots(tmp_path, monkeypatch, said, target):
    folder = hf_folder(tmp_path / "hf")
    (folder / "tok").mkdir()
    monkeypatch.chdir(folder)
    assert default_target(Path(said)).resolve() == tmp_path / target
    report = migrate(said)
    assert report.proved
    with load(tmp_path / target) as sealed:
        assert sealed.document["provenance"]["migrated_from"]["name"] == "hf"


def test_the_root_of_a_file_system_has_no_default_target():
    with pytest.raises(WriteFailedError, match="beside"):
        default_target(Path("/"))


# -- names of side files ----------------------------------------------------------------------------

ODD_NAMES = [
    'a:b*c?d"e<f>g|h.txt', "ends in a dot.", "ends in a space ", "Vocab.txt", "vocab.txt",
    "model.safetensors", "x" * 250 + ".txt", "line\u2028feed.txt", "tok:1/a.txt", "tok_1/a.txt", "MANIFEST.msgpack",
]  # fmt: skip


def test_names_that_the_format_forbids_are_replaced_and_remembered(tmp_path):
    folder = hf_folder(tmp_path / "hf")
    for name in ODD_NAMES[:5] + ODD_NAMES[6:10]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(name.encode())
    dry = migrate(folder, tmp_path / "out", MigrateOptions(dry_run=True))
    wet = migrate(folder, tmp_path / "out")
    assert dry.sealing.files == wet.sealing.files
    with load(tmp_path / "out") as sealed:
        origin = sealed.document["provenance"]["migrated_from"]
        renamed = dict(origin["renamed_files"].items())
    assert 'a:b*c?d"e<f>g|h.txt' in renamed.values()
    for safe, name in renamed.items():
        assert (tmp_path / "out" / safe).read_bytes() == name.encode()
    assert (tmp_path / "out" / "tok_1" / "a.txt").exists()


def test_a_name_that_is_no_text_at_all_travels(tmp_path):
    folder = hf_folder(tmp_path / "hf")
    odd = [b"caf\xe9.txt", b"back\\slash.txt", b"new\nline.txt"]
    for name in odd:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(name)
    migrate(folder, tmp_path / "out")
    with load(tmp_path / "out") as sealed:
        renamed = sealed.document["provenance"]["migrated_from"]["renamed_files"]
        found = {os.fsencode(name): safe for safe, name in renamed.items()}
    assert set(found) == set(odd)
    for name, safe in found.items():
        assert (tmp_path / "out" / safe).read_bytes() == name


def test_no_two_names_meet_and_none_is_also_a_folder():
    names = SideNames(["manifest.msgpack", "model.safetensors"])
    given = [
        names.give(name) for name in [*ODD_NAMES, "model.safetensors/a", "model.safetensors/b"]
    ]
    folded = [name.casefold() for name in given]
    assert len(set(folded)) == len(folded)
    taken = {*folded, "manifest.msgpack", "model.safetensors"}
    assert not any("/".join(name.split("/")[:1]) in taken for name in folded if "/" in name)
    assert (
        given[-2:] == ["model.safetensors~2~2/a", "model.safetensors~2~2/b"]
        or given[-2][:-2] == given[-1][:-2]
    )
    assert names.give("") == "_"
    assert names.give("../../etc/passwd") == "__/__/etc/passwd"
    assert len(names.give("d/" * 3000 + "x").encode()) < 300


def test_a_folder_named_like_a_data_file_does_not_stop_a_migration(tmp_path):
    folder = tmp_path / "hf"
    hf_folder(folder)
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    (folder / "model.safetensors").mkdir()
    (folder / "model.safetensors" / "note.txt").write_text("odd")
    dry = migrate(folder, tmp_path / "out", MigrateOptions(dry_run=True))
    assert migrate(folder, tmp_path / "out").sealing.files == dry.sealing.files


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_extra_files_of_torchscript_with_odd_names(tmp_path):
    module = torch.jit.script(torch.nn.Linear(2, 2))
    extra = {"what?.txt": b"1", "a:b": b"2"}
    torch.jit.save(module, str(tmp_path / "m.pt"), _extra_files=extra)
    migrate(tmp_path / "m.pt", tmp_path / "out")
    with load(tmp_path / "out") as sealed:
        renamed = sealed.document["provenance"]["migrated_from"]["renamed_files"]
        assert {name.rpartition("/")[2] for name in dict(renamed.items()).values()} == set(extra)


# -- many -------------------------------------------------------------------------------------------


def test_colliding_names_are_found_in_one_go():
    def name(count):
        return lambda: unique_names([("model", "a", "b"), *[("model", "a.b")] * count])

    def give(count):
        side = SideNames([])
        return lambda: [side.give("same") for _ in range(count)]

    assert grows_in_step(name, 200)
    assert grows_in_step(give, 200)
    names, given = name(20_000)(), give(20_000)()
    assert names[:3] == ["a.b", "a.b~2", "a.b~3"]
    assert len(set(names)) == 20_001
    assert len(set(given)) == 20_000


def test_more_files_than_descriptors(tmp_path):
    folder = hf_folder(tmp_path / "hf")
    for number in range(300):
        (folder / f"{number}.txt").write_text(str(number))
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200));"
        "from ckptkit.verbs.migrate import migrate;"
        "assert migrate(sys.argv[1], sys.argv[2]).proved"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder, tmp_path / "out"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "299.txt").read_text() == "299"


# -- what safetensors alone does not give back ------------------------------------------------------


def codes(report):
    return {notice.code: notice.message for notice in report.notices}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_tensors_that_are_no_plain_ones_are_told(tmp_path):
    state = {
        "plain.weight": torch.ones(2),
        "sparse.weight": torch.eye(3).to_sparse(),
        "quantized.weight": torch.quantize_per_tensor(torch.ones(2), 0.5, 0, torch.qint8),
        "meta.weight": torch.empty(3, device="meta"),
    }
    torch.save(state, tmp_path / "a.pt")
    told = codes(migrate(tmp_path / "a.pt"))
    for kind in ("sparse", "quantized", "meta"):
        assert f"{kind}.weight" in told[f"{kind}-tensors"]
    assert "plain.weight" not in str(told)


def test_ties_are_told_and_load_model_knows_them(tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
            self.two.weight = self.one.weight

    model = Tied()
    torch.save(model.state_dict(), tmp_path / "a.pt")
    report = migrate(tmp_path / "a.pt", options=MigrateOptions(dry_run=True))
    assert "two.weight = one.weight" in codes(report)["tied-tensors"]
    migrate(tmp_path / "a.pt")
    data = tmp_path / "a" / "model.safetensors"
    assert "two.weight" not in load_file(data)
    fresh = Tied()
    load_model(fresh, data)
    assert torch.equal(fresh.two.weight, model.one.weight)


def test_a_plain_state_dict_needs_no_word(source):
    assert not any(code.endswith("-tensors") for code in codes(migrate(source)))

"""Scanning a folder reads every file in it, and says so where it could not."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file

from ckptkit.errors import AccessDeniedError, ForeignFormatError, NoCheckpointError
from ckptkit.protocols import GlobalUse, StreamScan
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.scan import ScanReport, report, scan
from ckptkit.verbs.scan_rows import MAX_ROWS_PER_STREAM


class Payload:
    """What an attacker pickles; only ever dumped here."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 3",)


EVIL = pickle.dumps(Payload())


def names_in(found: ScanReport) -> set[str]:
    return {f"{row.use.module}.{row.use.qualname}" for row in found.rows}


def code_of(found: ScanReport) -> int:
    finding = found.finding()
    return 0 if finding is None else finding.exit_code


def torch_file(value: object, **options: object) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.fixture
def trainer(tmp_path: Path) -> Path:
    """A folder as the Hugging Face Trainer leaves it, without a payload."""
    folder = tmp_path / "run"
    folder.mkdir()
    save_file({"w": torch.ones(2)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("# a model\n")
    torch.save({"state": {}}, folder / "optimizer.pt")
    return folder


@pytest.mark.parametrize(
    "place",
    [
        "checkpoint-8/optimizer.pt", "checkpoint-8/deep/er/x", ".cache/x.bin", ".git/objects/ab/cd",
        "__pycache__/a.pyc", ".hidden", "weights.txt", "tokenizer.json", "z.png", "a/.metadata",
        "run.distcp", "dcp/__0_0.distcp", "random_states_0.pkl", "manifest.msgpack",
    ],
)  # fmt: skip
def test_a_payload_is_found_wherever_it_lies(trainer: Path, place: str) -> None:
    assert code_of(scan(trainer)) == 0
    (trainer / place).parent.mkdir(parents=True, exist_ok=True)
    (trainer / place).write_bytes(EVIL)
    found = scan(trainer)
    assert code_of(found) == 60
    assert "posix.system" in names_in(found)


@pytest.mark.parametrize("name", ["pytorch_model.safetensors", "model.safetensors", "notes.txt"])
def test_a_payload_in_a_sealed_folder_is_found_by_its_content(tmp_path: Path, name: str) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "w.pt")
    migrate(tmp_path / "w.pt", tmp_path / "sealed")
    assert scan(tmp_path / "sealed").verdict == "clean"
    (tmp_path / "sealed" / name).write_bytes(EVIL)
    assert code_of(scan(tmp_path / "sealed")) == 60


def test_a_pickle_whose_ninth_byte_is_a_brace_is_no_safetensors(tmp_path: Path) -> None:
    text = b'abcd{"' + b"x" * 34  # the brace stands where a safetensors header begins
    body = b"\x80\x04\x8c" + bytes([len(text)]) + text + EVIL[2:]
    assert body[8:10] == b'{"'
    (tmp_path / "model.safetensors").write_bytes(body)
    assert code_of(scan(tmp_path / "model.safetensors")) == 60
    assert code_of(scan(tmp_path)) == 60


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("aa.gitkeep", b""), ("aa.txt", b"notes\n"), ("aa.pt", torch_file({"w": torch.ones(9)})[:300]),
        ("aa.pkl", EVIL[:8]), ("aa.safetensors", b"\xff\0\0\0\0\0\0\0{}"), ("aa.gz", b"\x1f\x8b\x08"),
        ("aa.7z", b"7z\xbc\xaf\x27\x1c"), ("aa.distcp", b"PK\x03\x04"), ("aa.bin", bytes(4096)),
    ],
)  # fmt: skip
def test_one_file_hides_no_other(trainer: Path, name: str, data: bytes) -> None:
    (trainer / name).write_bytes(data)
    (trainer / "zz.pkl").write_bytes(EVIL)
    assert code_of(scan(trainer)) == 60


def test_text_json_and_empty_files_are_no_errors(trainer: Path) -> None:
    (trainer / ".gitkeep").touch()
    found = scan(trainer)
    assert (found.verdict, code_of(found)) == ("clean", 0)
    assert found.files[:3] == (5, 1, 4)
    assert found.files.skipped == ()


def test_links_pipes_and_closed_files_are_skipped_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.pkl").write_bytes(EVIL)
    (folder / "a").symlink_to("../outside.pkl")
    (folder / "b").symlink_to("nothing")
    os.mkfifo(folder / "c")
    torch.save({}, folder / "d.pt")
    (folder / "e").symlink_to("d.pt")  # stays inside: met by itself
    found = scan(folder)
    assert [one.name for one in found.files.skipped] == ["a", "b", "c"]
    assert (found.verdict, code_of(found)) == ("incomplete", 26)
    (folder / "z.pkl").write_bytes(EVIL)
    assert code_of(scan(folder)) == 60


def test_a_file_that_cannot_be_opened_is_skipped(
    trainer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptkit.containers import inner_scan

    def closed(path: Path) -> object:
        if path.name == "optimizer.pt":
            raise AccessDeniedError(path, "cannot be read")
        return make_probe(path)

    make_probe = inner_scan.make_probe
    monkeypatch.setattr(inner_scan, "make_probe", closed)
    found = scan(trainer)
    assert (found.verdict, code_of(found)) == ("incomplete", 4)
    assert found.files.skipped[0].name == "optimizer.pt"


def test_a_folder_without_any_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(NoCheckpointError):
        scan(tmp_path)
    (tmp_path / "sub" / "notes.txt").write_text("nothing to unpickle")
    found = scan(tmp_path)
    assert (found.verdict, found.files.without_pickles) == ("clean", 1)


def _tar(mode: str, members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("latest")
        link.type, link.linkname = tarfile.SYMTYPE, "model.pt"
        archive.addfile(link)
    return out.getvalue()


def _zip(name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, data)
    return out.getvalue()


BAD = torch_file({"w": torch.ones(2), "x": Payload()})
OLD = torch_file({"x": Payload()}, _use_new_zipfile_serialization=False)
LONG = "a-very-long-name/" * 9 + "model.pt"  # beyond what a header holds


@pytest.mark.parametrize(
    "data",
    [
        _tar("w", {"model.pt": BAD}), _tar("w", {LONG: BAD}), _tar("w", {"old.pt": OLD}),
        _tar("w", {"x.pkl": EVIL}), _tar("w:gz", {"model.pt": BAD}), gzip.compress(EVIL),
        _tar("w", {"inner.tar": _tar("w", {"m.pt": BAD})}), gzip.compress(BAD),
        _tar("w", {"../../x": EVIL}), _tar("w", {"a": b"1", "b.pt.gz": gzip.compress(BAD)}),
        _zip("model.pt", BAD), _zip("model.pt", BAD, zipfile.ZIP_STORED), _zip("m.tar", _tar("w", {"m": BAD})),
    ],
    ids=["tar", "long_name", "old", "pickle", "tar_gz", "gzip_pickle", "tar_in_tar", "gzip", "climbing", "gzip_in_tar", "zip", "stored", "tar_in_zip"],
)  # fmt: skip
def test_archives_of_checkpoints_are_looked_into(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "archive").write_bytes(data)
    for path in (tmp_path / "archive", tmp_path):
        found = scan(path)
        assert code_of(found) == 60
        assert "posix.system" in names_in(found)


def test_an_archive_of_honest_checkpoints_is_clean(tmp_path: Path) -> None:
    good = torch_file({"w": torch.ones(2)})
    (tmp_path / "a.tar").write_bytes(_tar("w", {"model.pt": good, LONG: good, "notes": b"text"}))
    found = scan(tmp_path / "a.tar")
    assert (found.verdict, code_of(found), len(found.streams)) == ("clean", 0, 2)


@pytest.mark.parametrize(
    "data", [b"7z\xbc\xaf\x27\x1c rest", b"Rar!\x1a\x07\0 rest", b"\xfd7zXZ\0 rest", b"BZh91 rest"]
)
def test_what_is_packed_otherwise_is_not_called_clean(tmp_path: Path, data: bytes) -> None:
    torch.save({}, tmp_path / "a.pt")
    (tmp_path / "b").write_bytes(data)
    found = scan(tmp_path)
    assert (found.verdict, code_of(found)) == ("incomplete", 9)
    (tmp_path / "b").write_bytes(_tar("w", {"member": data}))
    assert code_of(scan(tmp_path / "b")) == 9
    (tmp_path / "b").write_bytes(data)
    with pytest.raises(ForeignFormatError):
        scan(tmp_path / "b")


def test_an_object_array_of_numpy_is_a_pickle(tmp_path: Path) -> None:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    data = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + EVIL
    (tmp_path / "a.npy").write_bytes(data)
    assert code_of(scan(tmp_path / "a.npy")) == 60
    (tmp_path / "a.npz").write_bytes(_zip("arr_0.npy", data))
    assert code_of(scan(tmp_path / "a.npz")) == 60


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    state = {"model": {f"layer{n}": torch.ones(4) for n in range(6)}, "step": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it saves in a single process
        dcp.save(state, checkpoint_id=str(tmp_path / "dcp"))
    return tmp_path / "dcp"


def test_a_plain_dcp_folder_names_data_alone(sharded: Path) -> None:
    found = scan(sharded)
    assert found.verdict == "clean"
    assert found.finding(strict=True) is None


def test_bytes_between_the_items_of_a_shard_are_read(sharded: Path) -> None:
    shard = next(sharded.glob("*.distcp"))
    with shard.open("ab") as file:
        file.write(b"\0" * 64 + EVIL)
    assert code_of(scan(sharded)) == 60


def test_a_shard_that_is_missing_is_no_clean_folder(sharded: Path) -> None:
    next(sharded.glob("*.distcp")).unlink()
    found = scan(sharded)
    assert (found.verdict, code_of(found)) == ("unreadable", 21)


def test_modules_of_torch_are_known_classes(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2), torch.nn.ReLU())
    torch.save(module, tmp_path / "module.pt")
    assert scan(tmp_path / "module.pt").finding(strict=True) is None


def test_one_row_a_name_with_the_strongest_use() -> None:
    uses = [
        GlobalUse("one", "my.package", "Net", "named", 2, 9),
        GlobalUse("one", "my.package", "Net", "called", 3, 9),
        GlobalUse("two", "my.package", "Net", "built", 4, 5),
    ]
    scans = [StreamScan("one", tuple(uses[:2])), StreamScan("two", tuple(uses[2:]))]
    (row,) = report(Path("x"), "pickle", scans).rows
    assert (row.use.how, row.use.times, row.use.stream, row.streams) == ("called", 9, "one", 2)


def test_rows_of_a_stream_are_capped_but_dangers_are_kept() -> None:
    flood = [
        GlobalUse("s", "pack", f"C{n}", "named", 1, n) for n in range(MAX_ROWS_PER_STREAM + 500)
    ]
    bad = [GlobalUse("s", "os", f"call{n}", "called", 1, n) for n in range(MAX_ROWS_PER_STREAM + 7)]
    found = report(Path("x"), "pickle", [StreamScan("s", (*flood, *bad))])
    assert sum(row.level == "dangerous" for row in found.rows) == len(bad)
    assert len(found.rows) == len(bad)
    (notice,) = found.notices
    assert (notice.code, notice.message.split()[0]) == ("names-left-out", f"{len(flood):,}")


def test_progress_tells_the_bytes_of_all_files(trainer: Path) -> None:
    told: list[tuple[int, int]] = []
    scan(trainer, progress=lambda nbytes, total: told.append((nbytes, total)))
    nbytes = sum(path.stat().st_size for path in trainer.iterdir())
    assert {total for _, total in told} == {nbytes}
    assert sum(part for part, _ in told) == nbytes

"""A folder is walked without ever leaving it, whatever lies in it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ckptkit.containers.folder_scan import checked_plain_name, inner_file, scan_folder
from ckptkit.errors import (
    AccessDeniedError,
    CorruptFileError,
    LimitExceededError,
    UnsafePathError,
)
from ckptkit.types import Limits


def names_in(folder: Path) -> list[str]:
    return [file.name for file in scan_folder(folder).files]


def test_files_are_named_from_the_folder_down_in_order(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "x").write_bytes(b"123")
    (tmp_path / "b" / "y").write_bytes(b"")
    (tmp_path / "a").write_bytes(b"1")
    listing = scan_folder(tmp_path)
    assert [(f.name, f.nbytes) for f in listing.files] == [("a", 1), ("b/c/x", 3), ("b/y", 0)]


def test_a_unit_is_named_and_not_entered(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit" / "x").touch()
    listing = scan_folder(tmp_path, is_unit=lambda name, names: names == ("x",) and name == "unit")
    assert listing.files == ()
    assert listing.units == (("unit", ("x",)),)


def test_caches_of_tools_are_skipped_and_said(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").touch()
    listing = scan_folder(tmp_path)
    assert listing.files == ()
    assert [notice.code for notice in listing.notices] == ["folder-skipped"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "..", "nowhere/../../outside"])
def test_a_link_that_leaves_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(target)
    with pytest.raises(UnsafePathError, match="link"):
        scan_folder(folder)
    with pytest.raises(UnsafePathError, match="link"):
        inner_file(folder, "link")


def test_a_link_that_stays_is_noted_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "last").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "here").symlink_to(".")
    listing = scan_folder(tmp_path)
    assert [file.name for file in listing.files] == ["real"]
    assert {notice.where for notice in listing.notices} == {"here", "last", "loop"}


def _cache(root: Path, link: str, digest: str = "a" * 40) -> Path:
    (root / "models--x" / "blobs").mkdir(parents=True)
    (root / "models--x" / "blobs" / digest).write_bytes(b"weights")
    snapshot = root / "models--x" / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(link + digest)
    return snapshot


def test_the_links_of_a_hugging_face_cache_are_followed(tmp_path: Path) -> None:
    snapshot = _cache(tmp_path, "../../blobs/")
    (snapshot / "unet").mkdir()
    (snapshot / "unet" / "w").symlink_to("../../../blobs/" + "a" * 40)
    listing = scan_folder(snapshot)
    assert [(f.name, f.nbytes) for f in listing.files] == [("model.safetensors", 7), ("unet/w", 7)]
    assert inner_file(snapshot, "model.safetensors").read_bytes() == b"weights"
    assert names_in(snapshot / "unet") == ["w"]


@pytest.mark.parametrize(
    ("link", "digest"),
    [("../../../models--x/../blobs/", "a" * 40), ("../../blobs/", "a" * 39), ("../../", "b" * 40)],
)
def test_what_only_looks_like_such_a_cache_is_refused(
    tmp_path: Path, link: str, digest: str
) -> None:
    snapshot = _cache(tmp_path, link, digest)
    with pytest.raises(UnsafePathError):
        scan_folder(snapshot)


def test_a_blob_that_is_a_link_itself_is_refused(tmp_path: Path) -> None:
    snapshot = _cache(tmp_path, "../../blobs/")
    blob = tmp_path / "models--x" / "blobs" / ("a" * 40)
    blob.unlink()
    blob.symlink_to("/etc/passwd")
    with pytest.raises(UnsafePathError):
        scan_folder(snapshot)


def test_pipes_and_sockets_are_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsafePathError):
        scan_folder(tmp_path)
    with pytest.raises(UnsafePathError):
        inner_file(tmp_path, "pipe")
    (tmp_path / "pipe").unlink()
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(UnsafePathError):
            scan_folder(tmp_path)


def test_number_and_depth_are_limited(tmp_path: Path) -> None:
    for index in range(20):
        (tmp_path / str(index)).touch()
    with pytest.raises(LimitExceededError, match="max_entries"):
        scan_folder(tmp_path, Limits(max_entries=19))
    deep = tmp_path / "/".join(["d"] * 40)
    deep.mkdir(parents=True)
    with pytest.raises(LimitExceededError):
        scan_folder(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/a", "..\\a", "a\0b", "a\nb", "\ud800", "x" * 300, 3, None, b"a"],
)
def test_only_plain_names_pass(tmp_path: Path, name: object) -> None:
    with pytest.raises(UnsafePathError) as caught:
        checked_plain_name(name, tmp_path)
    assert str(caught.value).isprintable()


def test_a_missing_file_is_a_broken_promise(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match="not there"):
        inner_file(tmp_path, "model.safetensors")


def test_a_folder_that_may_not_be_listed_is_an_error_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    if os.geteuid() == 0:
        with pytest.raises(AccessDeniedError):
            scan_folder(tmp_path / "not-there")
    else:
        with pytest.raises(AccessDeniedError):
            scan_folder(folder)

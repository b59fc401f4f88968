"""``ckptkit scan``: a verdict, the names sorted by danger, and an exit code for CI."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch


def as_json(call, *words):
    return json.loads(call("scan", "--json", *words).stdout)


def test_data_alone_is_clean(call, zoo):
    result = call("scan", zoo / "training.pt")
    assert result.exit_code == 0
    assert "clean" in result.stdout
    assert "1 pickle" in result.stdout


def test_a_payload_is_dangerous_and_does_not_run(call, zoo):
    result = call("scan", zoo / "evil.pt")
    assert result.exit_code == 60
    assert "posix.system" in result.stdout
    found = as_json(call, zoo / "evil.pt")
    assert found["verdict"] == "dangerous"
    worst = found["paths"][0]["names"][0]
    assert (worst["level"], worst["module"], worst["qualname"], worst["how"]) == (
        "dangerous", "posix", "system", "called",
    )  # fmt: skip


def test_dangers_come_first_and_harmless_names_on_request(call, zoo):
    levels = [row["level"] for row in as_json(call, zoo / "evil.pt")["paths"][0]["names"]]
    order = ["dangerous", "suspicious", "unknown", "known"]
    assert levels == sorted(levels, key=order.index)
    assert "FloatStorage" not in call("scan", zoo / "evil.pt").stdout
    assert "FloatStorage" in call("scan", "--all", zoo / "evil.pt").stdout


def test_the_worst_of_several_paths_decides(call, zoo):
    result = call("scan", zoo / "training.pt", zoo / "cut.pt", zoo / "evil.pt")
    assert result.exit_code == 60
    assert as_json(call, zoo / "training.pt", zoo / "evil.pt")["verdict"] == "dangerous"


def test_a_broken_file_without_a_danger_has_the_code_of_its_breakage(call, zoo):
    assert call("scan", zoo / "cut.pt").exit_code == 20
    assert call("scan", zoo / "empty.pt").exit_code == 5
    result = call("scan", zoo / "empty.pt", zoo / "training.pt")
    assert result.exit_code == 5
    assert "not scanned" in result.stdout


def test_a_payload_before_the_end_of_a_broken_pickle_is_still_found(call, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.system, ("exit 3",)

    path = tmp_path / "broken.pkl"
    path.write_bytes(pickle.dumps([Payload()] * 3)[:-4])
    assert call("scan", path).exit_code == 60


def test_strict_refuses_names_that_nobody_knows(call, tmp_path):
    path = tmp_path / "odd.pkl"
    path.write_bytes(b"\x80\x02cmy_project.models\nNet\n)\x81.")
    assert call("scan", path).exit_code == 0
    assert "my_project.models.Net" in call("scan", path).stdout
    assert call("scan", "--strict", path).exit_code == 60


def test_files_without_pickles_say_so(call, zoo):
    result = call("scan", zoo / "weights.safetensors")
    assert result.exit_code == 0
    assert "no pickle in it" in result.stdout


def test_what_was_not_read_is_listed_and_is_no_success(call, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({}))
    (tmp_path / "b.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    (tmp_path / "c").symlink_to("/etc/passwd")
    result = call("scan", tmp_path)
    assert result.exit_code == 9  # of the first that was not read
    assert "incomplete" in result.stdout
    assert "3 files: 1 with pickles, 0 without" in result.stdout
    assert "unpack it first" in result.stdout
    assert "leaves the folder" in result.stdout
    found = as_json(call, tmp_path)["paths"][0]["files"]
    assert (found["seen"], found["read"], found["without_pickles"]) == (3, 1, 0)
    assert {one["name"]: one["kind"] for one in found["skipped"]} == {
        "b.7z": "ForeignFormat", "c": "UnsafePath",
    }  # fmt: skip


def test_an_empty_path_is_a_usage_error(call):
    assert call("scan", "").exit_code == 2


def test_an_empty_folder_holds_no_checkpoint(call, tmp_path):
    assert call("scan", tmp_path).exit_code == 10


def test_many_unknown_names_of_a_package_share_a_line(call, tmp_path):
    names = b"".join(b"c" + f"pack.m{n}\nC{n}\n".encode() for n in range(9))
    path = tmp_path / "odd.pkl"
    path.write_bytes(b"\x80\x02(" + names + b"l.")
    told = call("scan", path).stdout
    assert "pack: 9 names (C0, C1, C2, ...)" in told
    assert "pack.m7.C7" not in told
    assert "pack.m7.C7" in call("scan", "--all", path).stdout


@pytest.mark.parametrize("name", ["evil.pt", "training.pt", "cut.pt"])
def test_scanning_imports_nothing_that_a_file_names(spawn, zoo, name):
    code = (
        "import sys\nfrom ckptkit.verbs.scan import scan\nbefore = set(sys.modules)\n"
        f"scan({str(zoo / name)!r})\n"
        "new = {n for n in set(sys.modules) - before if not n.startswith('ckptkit')}\n"
        "assert not new & {'torch', 'numpy', 'argparse', 'subprocess'}, new\n"
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_is_broken_in_a_folder_is_told_with_its_file(call, tmp_path):
    for name in ("a", "b"):
        torch.save({"w": torch.ones(3)}, tmp_path / f"{name}.pt")
        data = (tmp_path / f"{name}.pt").read_bytes()
        at = data.index(b"_rebuild_tensor_v2")
        (tmp_path / f"{name}.pt").write_bytes(data[: at + 20])
    done = call("scan", tmp_path)
    broken = done.stdout.partition("  broken  ")[2].partition("\n  notes")[0].splitlines()
    assert len(broken) >= 4
    assert all(f"{tmp_path}/a.pt" in line or f"{tmp_path}/b.pt" in line for line in broken)
    assert " +" not in done.stdout

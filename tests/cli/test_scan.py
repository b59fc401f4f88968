"""``ckptkit scan``: a verdict, the names sorted by danger, and an exit code for CI."""

from __future__ import annotations

import json
import os
import pickle

import pytest


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

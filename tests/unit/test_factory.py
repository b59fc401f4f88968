"""The user's own code is compiled as it stands."""

import os

import pytest

pytest.importorskip("torch")

from ckptkit.verbs.factory import import_named


def test_an_edit_within_a_second_that_keeps_the_length_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    file = tmp_path / "edited.py"
    for value in (1, 2):
        file.write_text(f"VALUE = {value}\n")
        os.utime(file, (1e9, 1e9))
        assert value == import_named("edited.py", str(tmp_path)).VALUE
    assert [one.name for one in tmp_path.iterdir()] == ["edited.py"]

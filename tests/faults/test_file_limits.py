"""A limit on the size of a file, and a name that is too long: told as such, by the target's name."""

from __future__ import annotations

import errno

import pytest
import torch

from ckptkit.errors import DiskFullError, WriteFailedError
from ckptkit.testing.faults import failing_at, intercepted
from ckptkit.verbs.export import ExportOptions, export
from ckptkit.verbs.migrate import migrate


@pytest.fixture
def source(tmp_path):
    torch.save({"model": {"w": torch.ones(64, 64)}}, tmp_path / "run.pt")
    return tmp_path / "run.pt"


def export_to(source, target):
    export(source, target, ExportOptions(to="torch"))


@pytest.mark.parametrize("verb", [migrate, export_to])
def test_a_limit_on_file_size_is_named_with_the_target(source, tmp_path, verb):
    limited = failing_at(1, errno.EFBIG, ("pwrite",), lasting=True)
    with intercepted(limited), pytest.raises(DiskFullError) as caught:
        verb(source, tmp_path / "out")
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "out"))
    assert "stage" not in said
    assert "ulimit -f" in said
    assert "free some space" not in said
    assert " are free" not in said


def test_a_used_up_quota_is_no_lack_of_space(source, tmp_path):
    limited = failing_at(1, errno.EDQUOT, ("pwrite",), lasting=True)
    with intercepted(limited), pytest.raises(DiskFullError, match="quota") as caught:
        migrate(source, tmp_path / "out")
    assert " are free" not in str(caught.value)


def test_a_target_whose_name_is_too_long_is_told_so(source, tmp_path):
    with pytest.raises(WriteFailedError) as caught:
        migrate(source, tmp_path / ("n" * 300))
    assert "shorter" in caught.value.advice
    assert "dmesg" not in str(caught.value)

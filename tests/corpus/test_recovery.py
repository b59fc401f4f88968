"""Real files, cut: what comes back is true to the bit, and the rest is named."""

from collections import Counter

import pytest

from ckptkit.errors import CkptkitError
from ckptkit.verbs.open import load
from ckptkit.verbs.recover import recover
from tests.corpus.test_corpus import sha256_of


def saved_in(folder):
    with load(folder) as checkpoint:
        return Counter(
            sha256_of(one.node) for one in checkpoint.tensors() if one.path[0] != "provenance"
        )


def test_a_whole_file_is_recovered_whole(case, tmp_path):
    path, truth = case
    report = recover(path, tmp_path / "out")
    assert report.finding() is None
    assert saved_in(tmp_path / "out") == Counter(sha for *_, sha in truth["tensors"])


@pytest.mark.parametrize("tenths", [3, 6, 9])
def test_what_is_saved_of_a_cut_file_is_true(case, tmp_path, tenths):
    path, truth = case
    if path.is_dir():
        pytest.skip("a folder is not cut, its files are")
    data = path.read_bytes()
    cut = tmp_path / path.name
    cut.write_bytes(data[: len(data) * tenths // 10])
    try:
        report = recover(cut, tmp_path / "out")
    except CkptkitError:
        assert not (tmp_path / "out").exists()
        return
    everything = Counter(sha for *_, sha in truth["tensors"])
    assert not saved_in(tmp_path / "out") - everything
    assert len(report.lost) + sum(saved_in(tmp_path / "out").values()) >= sum(everything.values())

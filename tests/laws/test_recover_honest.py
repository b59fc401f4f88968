"""Every odd honest file, old ones too: whole it comes back whole, and cut, nothing of it is false."""

import hashlib
from collections import Counter

import pytest

from ckptkit.containers.logical import logical_source
from ckptkit.errors import CkptkitError
from ckptkit.nodes import TensorNode
from ckptkit.tree import walk
from ckptkit.verbs.open import load
from ckptkit.verbs.recover import recover
from tests.attacks.catalog import honest_cases

CASES = [*honest_cases()]


def tensors_in(path):
    with load(path) as checkpoint:
        found = {}
        for place, node in walk(checkpoint.document):
            if isinstance(node, TensorNode) and node.storage.source and place[0] != "provenance":
                data = bytearray(node.nbytes)
                logical_source(node).read_into(0, memoryview(data))
                found[id(node)] = node.dtype.name, node.shape, hashlib.sha256(data).hexdigest()
        return Counter(found.values())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_cut_honest_file_gives_out_nothing_that_was_not_in_it(case, tmp_path):
    (tmp_path / "case").mkdir()
    path = case.build(tmp_path / "case").path
    if path.is_dir():
        return
    try:
        whole = set(tensors_in(path))
    except CkptkitError:
        return
    data = path.read_bytes()
    for tenths in (5, 8, 10):
        cut = tmp_path / f"{tenths}{path.suffix}"
        cut.write_bytes(data[: len(data) * tenths // 10 - (tenths == 10)])
        out = tmp_path / f"out{tenths}"
        try:
            report = recover(cut, out)
        except CkptkitError:
            assert not out.exists()
        else:
            named = {t for t in tensors_in(out) if t[0] != "uint8"} if report.guessed else None
            assert (set(tensors_in(out)) if named is None else named) <= whole

"""No mutant crashes the reader, hangs it, or makes it large. CKPTKIT_FUZZ_COUNT sets how many."""

from __future__ import annotations

import os

import pytest

from tests.attacks.fuzz import fuzz, show

COUNT = int(os.environ.get("CKPTKIT_FUZZ_COUNT", "100000"))
SEED = int(os.environ.get("CKPTKIT_FUZZ_SEED", "0"))


def test_only_our_errors_escape(capsys: pytest.CaptureFixture[str]) -> None:
    result = fuzz(COUNT, SEED)
    with capsys.disabled():
        print("\n" + show(result, SEED))
    assert result.failures == []
    assert sum(result.outcomes.values()) == COUNT
    # A fuzz whose inputs are all refused at the door tests nothing but the door.
    assert result.outcomes["opened"] > COUNT // 20
    assert len(result.outcomes) >= 10 or COUNT < 5000

"""The state of a folder, told from names alone."""

from __future__ import annotations

import os

from ckptkit.storage.atomic import stage
from ckptkit.storage.catalog import MANIFEST_NAME, is_leftover, is_stage_name, state_of
from ckptkit.storage.leftovers import parse_leftover, sibling_name


def test_a_save_is_a_stage_until_it_is_whole(tmp_path):
    target = tmp_path / "ckpt"
    with stage(target) as staged:
        assert state_of(staged.path) == "stage"
        assert is_stage_name(staged.path.name)
        staged.write_last(MANIFEST_NAME, b"x")
        assert state_of(staged.path) == "stage"  # sealed but not committed: still nobody's
        staged.commit()
    assert state_of(target) == "whole"
    (target / MANIFEST_NAME).unlink()
    assert state_of(target) == "unsealed"


def test_a_moved_aside_checkpoint_is_a_leftover(tmp_path):
    name = sibling_name(tmp_path / "ckpt", "old")
    assert state_of(tmp_path / name) == "leftover"
    assert is_leftover(name)
    assert not is_stage_name(name)


def test_ordinary_names_are_neither(tmp_path):
    for name in ("ckpt", ".hidden", "ckpt.stage-1", ".ckpt.stage-x-y-z"):
        assert not is_leftover(name)
        assert state_of(tmp_path / name) == "unsealed"


def test_a_name_says_who_made_it_and_cannot_be_guessed(tmp_path):
    names = [sibling_name(tmp_path / "a.stage-1-b", "stage") for _ in range(50)]
    assert len(set(names)) == 50
    found = parse_leftover(tmp_path / names[0])
    assert (found.label, found.kind, found.owner.pid) == ("a.stage-1-b", "stage", os.getpid())

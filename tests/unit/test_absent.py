"""A path at which there is nothing: one text everywhere, and the name that was meant."""

from __future__ import annotations

import pytest
import torch

import ckptkit
from ckptkit.containers.absent import absent
from ckptkit.errors import NotFoundError
from ckptkit.verbs.export import ExportOptions, export
from ckptkit.verbs.listing import list_checkpoints
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.recover import recover
from ckptkit.verbs.scan import scan
from ckptkit.verbs.verify import verify

VERBS = {
    "load": ckptkit.load,
    "inspect": ckptkit.inspect,
    "scan": scan,
    "verify": verify,
    "list": list_checkpoints,
    "migrate": migrate,
    "export": lambda path: export(path, path.with_name("x"), ExportOptions(to="torch")),
    "recover": lambda path: recover(path, path.with_name("x")),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_the_same_and_names_what_is_nearly_spelled_so(tmp_path, verb):
    torch.save({"w": torch.ones(1)}, tmp_path / "checkpoint_7.pt")
    with pytest.raises(NotFoundError) as caught:
        VERBS[verb](tmp_path / "chekpoint_7.pt")
    assert str(caught.value) == str(absent(tmp_path / "chekpoint_7.pt"))
    assert caught.value.seen == "there is nothing at this path"
    assert caught.value.advice == f"did you mean {tmp_path / 'checkpoint_7.pt'}?"


def test_where_nothing_is_near_the_advice_says_how_to_look(tmp_path):
    assert "ckptkit list" in absent(tmp_path / "no" / "where.pt").advice
    (tmp_path / "quite-another").touch()
    assert "did you mean" not in absent(tmp_path / "run.pt").advice


def test_a_misspelt_folder_is_named_too(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert str(tmp_path / "checkpoints") in absent(tmp_path / "checkpoint" / "a.pt").advice


def test_a_name_that_is_too_long_is_said_to_be_that(tmp_path):
    with pytest.raises(NotFoundError, match="longer than the file system allows"):
        ckptkit.inspect(tmp_path / ("n" * 300))

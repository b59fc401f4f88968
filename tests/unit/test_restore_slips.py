"""What a hurried caller types, and the sentence that brings him back."""

import re

import pytest

import ckptkit
from ckptkit.errors import ChecksumError
from tests.unit.training import network


@pytest.fixture
def path(tmp_path):
    ckptkit.save(tmp_path / "c", {"model": network(), "progress": {"epochs": 3}})
    return tmp_path / "c"


def test_a_model_instead_of_targets_is_told_what_to_write(path):
    for verb in (ckptkit.restore, ckptkit.plan_restore):
        with pytest.raises(TypeError, match=r"Sequential, not a mapping.*\{\"model\": model"):
            verb(path, network())


@pytest.mark.parametrize("rename", ["a=b", [("a",)], ["abc"], [("a", None)]])
def test_a_rename_of_another_form_is_told_the_two_forms(rename, path):
    with pytest.raises(ValueError, match=r"rename is a mapping of exact names.*a list of pairs"):
        ckptkit.restore(path, {"model": network()}, rename=rename)


def test_a_section_that_is_misspelled_is_told_the_one_that_was_meant(path):
    with ckptkit.load(path) as checkpoint:
        with pytest.raises(KeyError, match="no section 'progres'; did you mean 'progress'") as one:
            checkpoint.state("progres")
        assert "model, progress" in str(one.value)


def test_a_damaged_tensor_is_named_with_its_checkpoint(path):
    file = next(path.glob("model*.safetensors"))
    raw = bytearray(file.read_bytes())
    raw[-2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(ChecksumError, match=re.escape(f"{path}: model/")):
        ckptkit.restore(path, {"model": network()})
    with ckptkit.load(path) as one, pytest.raises(ChecksumError, match=re.escape(f"{path}: model")):
        one.state("model")


def test_a_mapping_of_patterns_is_told_that_its_names_are_exact(path):
    plan = ckptkit.plan_restore(path, {"model": network()}, rename={r"^0\.": "1."})
    told = [note for note in plan.component("model").notes if "list of pairs" in note]
    assert len(told) == 1
    exact = ckptkit.plan_restore(path, {"model": network()}, rename={"0.wight": "1.weight"})
    assert not [note for note in exact.component("model").notes if "list of pairs" in note]


def test_what_is_left_of_the_progress_says_how_to_read_it(path):
    report = ckptkit.restore(path, {"model": network()})
    assert 'checkpoint.state("progress")' in str(report)

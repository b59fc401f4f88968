"""One checkpoint or several: the rule that inspect, migrate, list and verify share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckptkit.containers.folder_units import checkpoints_below, is_one_checkpoint
from ckptkit.errors import NoCheckpointError
from ckptkit.verbs.open import load, open_container
from tests.unit.folder_making import weights

ONE = [
    ["manifest.msgpack"],
    [".metadata", "__0_0.distcp"],
    ["config.json", "model.safetensors", "epoch_1.pt"],
    ["model.safetensors"],
    ["model.safetensors", "optimizer.safetensors"],
    ["model-00001-of-00002.safetensors", "model.safetensors.index.json"],
    ["pytorch_model.bin", "optimizer.pt", "rng_state_0.pth", "scheduler.pt"],
    ["adapter_config.json", "adapter_model.safetensors"],
    ["model_index.json", "unet", "vae"],
    ["trainer_state.json", "optimizer.pt"],
    ["random_states_0.pkl", "pytorch_model_fsdp_0"],
    ["model.bin", "optimizer.bin", "scheduler.bin"],
    ["mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt"],
]
SEVERAL = [
    [],
    ["checkpoint_epoch_1.pt", "checkpoint_epoch_2.pt", "checkpoint_epoch_3.pt"],
    ["sd_only.pt", "legacy.pt"],
    ["one.pt"],
    ["config.json", "history.json", "checkpoints"],
    ["version_0", "version_1"],
    ["model.safetensors", "epoch_1.pt", "epoch_2.pt"],
    ["config.json", "best.pt", "last.pt"],
]


@pytest.mark.parametrize("names", ONE, ids="+".join)
def test_something_binds_the_files_of_one_checkpoint(names: list[str]) -> None:
    assert is_one_checkpoint(Path("/nowhere/run"), tuple(names))


@pytest.mark.parametrize("names", SEVERAL, ids="+".join)
def test_files_side_by_side_are_several(names: list[str]) -> None:
    assert not is_one_checkpoint(Path("/nowhere/run"), tuple(names))


def test_the_name_of_a_folder_binds_parts_but_no_row_of_epochs() -> None:
    folder = Path("/nowhere/checkpoint-500")
    assert is_one_checkpoint(folder, ("model.pt", "optimizer.pt"))
    assert not is_one_checkpoint(folder, ("epoch_1.pt", "epoch_2.pt"))


def test_a_folder_of_several_names_five_of_them(tmp_path: Path) -> None:
    for number in range(7):
        weights(tmp_path / f"epoch_{number}.pt", w=1)
    with pytest.raises(NoCheckpointError, match="holds 7 checkpoints, but is none") as caught:
        load(tmp_path)
    shown = caught.value.advice.partition("), such as the newest: ")[0]
    assert shown.count("epoch_") == 5
    assert "migrate --recursive" in caught.value.advice
    os.utime(tmp_path / "epoch_3.pt", (2e9, 2e9))
    with pytest.raises(NoCheckpointError) as caught:
        load(tmp_path)
    assert f"such as the newest: {tmp_path / 'epoch_3.pt'};" in caught.value.advice


def test_a_nameless_file_counts_if_it_opens(tmp_path: Path) -> None:
    weights(tmp_path / "deep" / "state", w=1)
    (tmp_path / "words").write_text("no checkpoint")
    assert checkpoints_below(tmp_path, open_container).names == ("deep/state",)


def test_looking_into_a_folder_follows_no_link_and_waits_for_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "up").symlink_to("..")
    (tmp_path / "loop.pt").symlink_to("loop.pt")
    with pytest.raises(NoCheckpointError, match="no file in this folder"):
        load(tmp_path)

"""What holds of all four trainers, each at its smallest."""

import pytest
import torch

import ckptkit
from ckptkit.errors import SettingError
from tests.plugins.whose import each

SMALL = {
    "diffusion": {"clips": 8, "val_clips": 4, "channels": 8, "text_width": 16, "text_layers": 1,
                  "sample_steps": 2},
    "segmentation": {"tiles": 8, "val_tiles": 4, "width": 8, "size": 32},
    "multimodal": {"limit": 8, "width": 16, "d_shared": 16, "image_size": 16, "sample_every": 0},
    "restoration": {"patches": 8, "width": 4, "depth": 2, "patch": 32, "val_size": 48},
}  # fmt: skip
EACH = pytest.mark.parametrize("name", each(SMALL))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(name, **more):
    return {**SMALL[name], "batch_size": 4, "device": "cpu", "tensorboard": False, **more}


@EACH
def test_the_rate_that_is_told_of_an_epoch_is_the_one_it_trained_with(name, tmp_path):
    run = ckptkit.trainer(name).train(tmp_path, **settings(name, epochs=2, lr=0.004))
    assert run.history["lr"] == pytest.approx([0.004, 0.002])
    assert {"train_loss", "val_loss"} <= set(run.history)


@EACH
def test_a_target_of_no_epoch_is_a_mistake_and_leaves_no_run_behind(name, tmp_path):
    with pytest.raises(SettingError, match="--epochs: is 0; expected 1 or more"):
        ckptkit.trainer(name).train(tmp_path / "none", **settings(name, epochs=0))
    assert not (tmp_path / "none").exists()

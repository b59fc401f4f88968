"""The multimodal trainer keeps what every trainer has to keep: killed anywhere, to the same bits."""

import pytest

from ckptkit.testing.trainer_contract import TrainerContract
from tests.trainers.multimodal_small import TINY, painted


@pytest.fixture(scope="module", autouse=True)
def _data(tmp_path_factory):
    """Painted photographs, instead of the thousands of glyphs."""
    folder = painted(tmp_path_factory.mktemp("flickr") / "data")
    TestMultimodal.tiny = {**TestMultimodal.tiny, "data": str(folder)}


class TestMultimodal(TrainerContract):
    trainer = "multimodal"
    tiny = {**TINY, "epochs": 3, "batch_size": 3, "save_every_steps": 3}
    architecture = {"d_shared": 32, "image": "vit"}
    free = {"batch_size": 4, "epochs": 4, "lr": 1e-3, "precision": "bf16", "audio": False}
    actions = {
        "sample": {"text": "a red circle", "out": "{tmp}/out"},
        "evaluate": {"split": "test"},
    }

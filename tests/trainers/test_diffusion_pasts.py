"""The diffusion trainer goes on from what the seed's text2sign code left behind."""

import math
from pathlib import Path

import pytest
import torch

import ckptkit
from ckptkit.testing.trainer_contract import final_of
from ckptkit_trainers.diffusion.config import Config, SampleOptions
from ckptkit_trainers.diffusion.migrators import MIGRATORS
from ckptkit_trainers.diffusion.model import build
from ckptkit_trainers.diffusion.sample import sample
from ckptkit_trainers.diffusion.train import train
from tests.trainers.seeds_diffusion import TINY, OldTraining

PLANNED = 3


@pytest.fixture(scope="module")
def two_epochs():
    return OldTraining(PLANNED).train(2)


@pytest.fixture(scope="module")
def inside():
    """Two epochs and three steps of the third."""
    return OldTraining(PLANNED).train(2, extra_steps=3)


def saved(folder, **files):
    place = folder / "20251230_153045_v1" / "checkpoints"
    place.mkdir(parents=True)
    for name, content in files.items():
        torch.save(content, place / f"{name}.pt")
    return place


def gone_on(folder, resume="latest", epochs=PLANNED, **settings):
    """Train on to the target; return what was told, and the sections of the last checkpoint."""
    told = []
    train(Config(**TINY | {"epochs": epochs, "sample_every": 0} | settings), folder,
          resume=resume, tell=told.append)  # fmt: skip
    with ckptkit.load(final_of(folder)) as checkpoint:
        names = ("progress", "scheduler", "history")
        return "\n".join(told), *(checkpoint.state(name) for name in names)


def cosine(epoch, lr=1e-3):
    return lr * (1 + math.cos(math.pi * epoch / PLANNED)) / 2


@pytest.mark.parametrize("name", ["checkpoint_epoch_1", "latest_checkpoint"])
def test_the_end_of_an_epoch_goes_on_with_the_next(tmp_path, two_epochs, name):
    saved(tmp_path, **{name: two_epochs.checkpoint(epoch=1)})
    told, progress, scheduler, history = gone_on(tmp_path)
    assert f"{name}.pt: epoch 2, step 10" in told
    assert (progress["epochs_completed"], progress["optimizer_steps"]) == (3, 15)
    assert (scheduler["last_epoch"], scheduler["T_max"]) == (3, PLANNED)
    assert history["epoch"] == [3]
    assert history["lr"] == [pytest.approx(cosine(2))]
    for line in ("model      restored", "optimizer  restored", "scheduler  restored",
                 "ema        absent", "it has no random streams"):  # fmt: skip
        assert line in told


@pytest.mark.parametrize(
    "name", ["interrupted_checkpoint", "checkpoint_step_13", "error_checkpoint"]
)
def test_the_middle_of_an_epoch_goes_on_with_that_epoch(tmp_path, inside, name):
    place = saved(tmp_path, **{name: inside.checkpoint(epoch=2)})
    told, progress, scheduler, _ = gone_on(tmp_path, str(place / f"{name}.pt"))
    assert f"{name}.pt: epoch 2, step 13" in told
    assert progress["epochs_completed"] == 3
    assert progress["optimizer_steps"] == 18, "nobody knows the place in the epoch: it is repeated"
    assert scheduler["last_epoch"] == 3


def test_latest_is_the_newest_of_a_folder_of_the_seed_without_temporary_files(
    tmp_path, two_epochs, inside
):
    place = saved(
        tmp_path, checkpoint_epoch_1=two_epochs.checkpoint(1), latest_checkpoint=two_epochs.checkpoint(1),
        interrupted_checkpoint=inside.checkpoint(2),
    )  # fmt: skip
    (place / "._checkpoint_epoch_9.pt").write_bytes(b"\0\5\x16\7")
    told, progress, _, _ = gone_on(tmp_path)
    assert "interrupted_checkpoint.pt: epoch 2, step 13" in told
    assert progress["epochs_completed"] == 3
    listed = ckptkit.list_checkpoints(place)
    assert not [row for row in listed.rows if Path(row.path).name.startswith("._")]


def test_more_epochs_than_the_old_training_planned_bend_the_schedule(tmp_path, two_epochs):
    saved(tmp_path, latest_checkpoint=two_epochs.checkpoint(epoch=1))
    _, progress, scheduler, history = gone_on(tmp_path, epochs=4, lr=1e-3)
    assert (progress["epochs_completed"], progress["optimizer_steps"]) == (4, 20)
    assert history["epoch"] == [3, 4]
    assert scheduler["last_epoch"] == 4


def test_the_first_step_behind_an_old_checkpoint_is_the_old_optimizers(tmp_path, two_epochs):
    """Moments went with keys and values that were taken apart: torch's own is the witness."""
    place = saved(tmp_path, latest_checkpoint=two_epochs.checkpoint(epoch=1))
    model = build(Config(**TINY))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    report = ckptkit.restore(
        place / "latest_checkpoint.pt", {"model": model, "optimizer": optimizer},
        trainer="diffusion", migrators=MIGRATORS,
    )  # fmt: skip
    assert report.ok
    old, names = two_epochs.model, dict(two_epochs.model.named_parameters())
    for name, parameter in model.named_parameters():
        if name.endswith((".to_k.weight", ".to_v.weight")):
            both = names[name.replace(".to_k.", ".to_kv.").replace(".to_v.", ".to_kv.")]
            half = name.endswith(".to_v.weight")
            moments = two_epochs.optimizer.state[both]["exp_avg"].chunk(2)[half]
            assert torch.equal(parameter, both.chunk(2)[half])
            assert torch.equal(optimizer.state[parameter]["exp_avg"], moments)
    assert torch.equal(model.project.weight, old.text_projection.weight)


def test_bare_weights_are_drawn_with_and_trained_on_from_the_beginning(tmp_path, two_epochs):
    path = tmp_path / "weights.pt"
    torch.save(two_epochs.model.state_dict(), path)
    options = SampleOptions(num_samples=1, steps=1, out=str(tmp_path / "gifs"))
    drawn = sample(path, Config(**TINY), options)
    assert (drawn["epoch"], drawn["step"], drawn["weights"]) == (None, None, "model")
    told, progress, _, _ = gone_on(tmp_path / "run", str(path), epochs=1)
    assert "counting begins at 0" in told
    assert progress["optimizer_steps"] == 5

"""What a hand-made run says of itself beside its keys: steps, history, best, the epoch it was in."""

import json

import pytest
import torch

from ckptkit.run.choose import survey
from ckptkit.run.metrics import Best
from ckptkit.run.resuming import best_from, read_stored


def saved(tmp_path, name, epoch, *, steps=4, rows=3, **more):
    """A training dict that counts no steps, in a run folder with a history file of so many rows."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(steps):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    place = tmp_path / "20251230_153045_v1" / "checkpoints"
    place.mkdir(parents=True, exist_ok=True)
    history = {"val_loss": [0.5, 0.2, 0.3, 0.1][:rows], "lr": [0.1] * rows}
    (place.parent / "history.json").write_text(json.dumps(history))
    content = {"epoch": epoch, "model_state_dict": model.state_dict(),
               "optimizer_state_dict": optimizer.state_dict(),
               "scheduler_state_dict": {"last_epoch": epoch}, **more}  # fmt: skip
    torch.save(content, place / name)
    return place / name


METRICS = {"train": {"loss": 1.0}, "val": {"loss": 1.0}}


def test_the_optimizers_own_count_and_the_history_file_beside_go_on(tmp_path):
    path = saved(tmp_path, "checkpoint_epoch_003.pth", 3, metrics=METRICS)
    stored = read_stored(path)
    assert (stored.mark.epochs, stored.mark.steps) == (3, 4)
    assert stored.history["val_loss"] == [0.5, 0.2, 0.3]
    best = best_from(Best("val_loss", "min"), stored)
    assert (best.value, best.epoch) == (0.2, 2)


def test_rows_behind_the_checkpoint_do_not_count(tmp_path):
    stored = read_stored(saved(tmp_path, "checkpoint_epoch_003.pth", 3, rows=4, metrics=METRICS))
    assert stored.history["val_loss"] == [0.5, 0.2, 0.3]


@pytest.mark.parametrize(("epoch", "completed"), [(3, 3), (4, 3), (5, 0), (2, 0)])
def test_the_history_proves_whether_an_epoch_was_finished_or_nothing_does(
    tmp_path, epoch, completed
):
    stored = read_stored(saved(tmp_path, f"emergency_checkpoint_oom_epoch_{epoch}.pth", epoch))
    assert stored.mark.epochs == completed


@pytest.mark.parametrize("damaged", ["", "[]", "{", "3", '{"val_loss": 3}', "[" * 100_000])
def test_a_damaged_history_beside_is_no_history(tmp_path, damaged):
    path = saved(tmp_path, "checkpoint_epoch_003.pth", 3, metrics=METRICS)
    (path.parent.parent / "history.json").write_text(damaged)
    stored = read_stored(path)
    assert stored.mark.epochs == 3
    assert (stored.history or {}).get("val_loss") is None
    assert best_from(Best("val_loss", "min"), stored).value is None


def test_the_newest_of_old_files_is_the_one_whose_optimizer_stepped_most(tmp_path):
    for name, steps in (("best_model.pth", 2), ("emergency_checkpoint_oom_epoch_4.pth", 9),
                        ("checkpoint_epoch_003.pth", 7)):  # fmt: skip
        path = saved(tmp_path, name, 3, steps=steps)
    found, skipped = survey(path.parent)
    assert found[0].path.name == "emergency_checkpoint_oom_epoch_4.pth"
    assert ([one.steps for one in found], skipped) == ([9, 7, 2], [])

"""Files of the five seeds' formats in the checkpoints folder: a run goes on from them."""

import torch

from tests.run.small import Small, came_from, names, resumed


def dropped(folder, name, content):
    """An experiment made by hand, as of a script that kept torch.save files in checkpoints/."""
    place = folder / "20251230_153045_v1" / "checkpoints"
    place.mkdir(parents=True, exist_ok=True)
    torch.save(content, place / name)
    return place


def of_a_seed(epoch, steps, **more):
    """A training dict of a network that was really trained for so many steps."""
    one = Small()
    for _ in range(steps):
        one.optimizer.zero_grad()
        one.model(torch.ones(2, 3)).sum().backward()
        one.optimizer.step()
    return one, {
        "epoch": epoch, "global_step": steps, "model_state_dict": one.model.state_dict(),
        "optimizer_state_dict": one.optimizer.state_dict(), **more,
    }  # fmt: skip


def test_a_training_dict_in_the_checkpoints_folder_goes_on_with_epoch_step_and_best(tmp_path):
    old, content = of_a_seed(7, 24, best_val=0.2345, val_loss=0.2345, config={"lr": 0.1})
    dropped(tmp_path, "checkpoint_epoch_7.pt", content)
    again = resumed(tmp_path, "auto", 7)
    assert came_from(again)[0] == "checkpoint_epoch_7.pt"
    assert again.last.step == 24
    assert again.last.best == 0.2345
    assert all(map(torch.equal, again.model.parameters(), old.model.parameters()))
    more = resumed(tmp_path, "auto", again.last.epoch + 1)
    assert len(more.seen) == 3
    assert more.last.step == 27
    assert f"checkpoint_epoch_{again.last.epoch + 1}" in names(tmp_path)


def test_bare_weights_go_on_from_the_beginning_and_say_so(tmp_path):
    _, content = of_a_seed(7, 24)
    dropped(tmp_path, "checkpoint_epoch_7.pt", content["model_state_dict"])
    again = Small()
    again.train(tmp_path, 1)
    assert "it does not say how far training was: counting begins at 0" in again.told
    assert "it has no random streams: they go on as the script seeded them" in again.told
    assert "optimizer" in again.said
    assert again.last.step == 3
    assert "matches no missing name" not in again.said  # the run itself allows the optimizer


def test_a_history_of_old_columns_goes_on_without_gap_or_overlap(tmp_path):
    _, content = of_a_seed(2, 6, train_loss=[0.9, 0.8], val_loss=[1.0, 0.7])
    dropped(tmp_path, "epoch_2.pth", content)
    again = resumed(tmp_path, "auto", 4)
    history = again.last.history
    assert history["epoch"] == [1, 2, 3, 4]
    assert history["val_loss"][:2] == [1.0, 0.7]
    assert None not in history["val_loss"]


def test_where_only_epochs_are_counted_the_steps_are_those_that_the_optimizer_counted(tmp_path):
    _, content = of_a_seed(2, 6, train_loss=[0.9, 0.8], val_loss=[1.0, 0.7])
    del content["global_step"]
    dropped(tmp_path, "epoch_2.pth", content)
    again = resumed(tmp_path, "auto", 4)
    assert again.last.step == 6 + 2 * 3


def test_a_cut_old_file_is_skipped_by_name(tmp_path):
    _, content = of_a_seed(1, 3)
    place = dropped(tmp_path, "checkpoint_epoch_1.pt", content)
    dropped(tmp_path, "checkpoint_epoch_2.pt", content)
    cut = place / "checkpoint_epoch_2.pt"
    cut.write_bytes(cut.read_bytes()[:-500])
    again = resumed(tmp_path, "auto", 3)
    assert came_from(again)[0] == "checkpoint_epoch_1.pt"
    assert any(text.startswith("skipped checkpoint_epoch_2.pt: ") for text in again.told)


def test_a_run_that_holds_only_old_files_is_not_hidden_by_an_older_one(tmp_path):
    import shutil

    place = dropped(tmp_path, "checkpoint_epoch_1.pt", of_a_seed(1, 3)[1])
    older = tmp_path / "20240101_000000_v1" / "checkpoints"
    resumed(tmp_path / "made", "auto", 1)
    shutil.copytree(next((tmp_path / "made").glob("*/checkpoints")), older)
    shutil.rmtree(tmp_path / "made")
    assert resumed(tmp_path, "auto", 2).last.folder == place.parent

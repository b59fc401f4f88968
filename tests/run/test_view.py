"""A run on disk is opened without training it, without torch, and whatever is damaged in it."""

import json
import math
import subprocess
import sys

import pytest
import torch

import ckptkit
from ckptkit.errors import NoCheckpointError, NotFoundError
from ckptkit.run.aliases import point
from ckptkit.run.history import Event, History, history_data, write_history
from ckptkit.run.view import open_run


def checkpoint(folder, epoch, **sections):
    ckptkit.save(
        folder / f"checkpoint_epoch_{epoch}",
        {
            "model": {"w": torch.zeros(3)},
            "progress": {"epochs_completed": epoch, "optimizer_steps": 10 * epoch},
            **sections,
        },
    )


def history(n_rows=4):
    made = History()
    for epoch in range(1, n_rows + 1):
        made.add(epoch, 10 * epoch, {"loss": 1 / epoch, "val_loss": abs(epoch - 2) + 0.5})
    made.events.append(Event("resumed", 2, 25, 0.0, "checkpoint_epoch_2"))
    return made


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "demo" / "20260101_000000_v1"
    (folder / "checkpoints").mkdir(parents=True)
    best = {"name": "val_loss", "mode": "min", "value": 0.5, "epoch": 2, "step": 20}
    for epoch in (2, 4):
        checkpoint(
            folder / "checkpoints", epoch, metrics={"latest": {"val_loss": 0.5}, "best": best},
            history=history(epoch).state(), config={"settings": {"lr": 0.1}, "asked": {}},
        )  # fmt: skip
    write_history(folder, history_data(history()))
    (folder / "config.json").write_text('{"lr": 0.1}')
    return folder


def test_a_run_shows_its_columns_best_settings_checkpoints_and_events(run):
    view = ckptkit.open_run(run)
    assert view.history["val_loss"] == [1.5, 0.5, 1.5, 2.5]
    assert (view.best.name, view.best.value, view.best_epoch) == ("val_loss", 0.5, 2)
    assert view.config == {"lr": 0.1}
    assert [one.epochs for one in view.checkpoints] == [4, 2]
    assert [event.kind for event in view.events] == ["resumed"]
    assert (view.name, view.n_rows, view.notes, view.skipped) == (
        "demo/20260101_000000_v1", 4, [], [],
    )  # fmt: skip
    assert "epoch 4, step 40, best val_loss 0.5" in repr(view)


def test_the_root_means_its_newest_run_and_a_name_means_that_one(run):
    (run.parent / "20270101_000000_v1" / "checkpoints").mkdir(parents=True)
    checkpoint(run.parent / "20270101_000000_v1" / "checkpoints", 1)
    assert open_run(run.parent).folder.name == "20270101_000000_v1"
    assert open_run(run.parent, run.name).n_rows == 4
    assert open_run(run / "checkpoints").folder == run


def test_looking_changes_nothing(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    view = open_run(run)
    assert view._repr_html_()
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[1, 2]", b'"x"', b'{"loss": 3}', b"[" * 100_000, b"\xff\xfe", b"null"]
)
def test_a_damaged_history_is_told_and_the_newest_checkpoint_stands_in(run, damaged):
    (run / "history.json").write_bytes(damaged)
    view = open_run(run)
    assert view.history["val_loss"] == [1.5, 0.5, 1.5, 2.5]
    assert any("history.json cannot be read" in note for note in view.notes)
    assert any("checkpoint_epoch_4" in note for note in view.notes)


def test_without_a_history_file_the_newest_checkpoint_remembers(run):
    (run / "history.json").unlink()
    assert open_run(run).n_rows == 4


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b"[" * 100_000])
def test_damaged_settings_are_told_and_read_from_a_checkpoint(run, damaged):
    (run / "config.json").write_bytes(damaged)
    view = open_run(run)
    assert view.config == {"lr": 0.1}
    assert any("config.json" in note for note in view.notes)


def test_what_cannot_be_read_among_the_checkpoints_is_skipped_with_its_reason(run):
    (run / "checkpoints" / "checkpoint_epoch_4" / "manifest.msgpack").write_bytes(b"no")
    view = open_run(run)
    assert [one.path.name for one in view.skipped] == ["checkpoint_epoch_4"]
    assert [one.epochs for one in view.checkpoints] == [2]


def test_odd_values_and_events_are_kept_from_being_drawn_and_break_nothing(run):
    (run / "history.json").write_text(
        json.dumps({
            "epoch": [1, 2, 3], "step": [1, 2, 3],
            "loss": ["nan", "<b>", 10**400], "val_loss": [True, None, {"a": 1}],
            "events": [{"kind": "resumed"}, {"kind": "resumed", "epoch": "x", "step": []}, 7, [1, 2, 3]],
        })
    )  # fmt: skip
    view = open_run(run)
    assert math.isnan(view.history["loss"][0])
    assert "<b>" not in view._repr_html_().replace("<b>0.5</b>", "")


def test_an_emergency_checkpoint_of_which_no_event_tells_is_one(run):
    point(run / "checkpoints" / "error_checkpoint", run / "checkpoints" / "checkpoint_epoch_4")
    point(
        run / "checkpoints" / "interrupted_checkpoint", run / "checkpoints" / "checkpoint_epoch_2"
    )
    kinds = {(event.kind, event.step) for event in open_run(run).events}
    assert kinds == {("resumed", 25), ("emergency", 40), ("interrupted", 20)}


def test_what_is_no_run_is_said_with_those_that_are_there(run, tmp_path):
    with pytest.raises(NotFoundError):
        open_run(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match=run.name):
        open_run(run.parent, "20200101_000000_v1")
    with pytest.raises(NoCheckpointError, match="is one checkpoint"):
        open_run(run / "checkpoints" / "checkpoint_epoch_4")
    with pytest.raises(NotFoundError, match="is a file"):
        open_run(run / "history.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoCheckpointError):
        open_run(tmp_path / "empty")


# -- runs that other people made by hand ----------------------------------------------------------


def torch_file(path, **parts):
    path.parent.mkdir(parents=True, exist_ok=True)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    state = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    torch.save(state | parts, path)


def text2sign(root):
    for epoch in (4, 5):
        torch_file(
            root / "checkpoints" / f"checkpoint_epoch_{epoch}.pt", epoch=epoch,
            global_step=100 * epoch, loss=1 / epoch, best_val_loss=0.2, config={"lr": 1e-3},
        )  # fmt: skip


def brain(root):
    torch_file(
        root / "best.pt", epoch=3, global_step=33, metrics={"val_loss": 0.3}, best_val_loss=0.25
    )
    torch.save(torch.nn.Linear(2, 2).state_dict(), root / "old_weights.pth")


def noon2(root):
    series = {
        "train_loss": [0.9, 0.7, 0.6],
        "val_loss": [0.95, 0.66, 0.68],
        "val_dice": [0.1, 0.3, 0.35],
    }
    for name in ("last_checkpoint.pt", "best_model.pt"):
        torch_file(root / name, epoch=3, history=series, best_val_loss=0.66)


def restoration(root):
    folder = root / "experiments" / "20251230_153045_v1"
    torch_file(
        folder / "checkpoints" / "best_model.pth",
        epoch=2,
        scheduler_state_dict={},
        metrics={"val": {"loss": 0.3}},
    )
    torch_file(folder / "checkpoints" / "emergency_checkpoint_oom_epoch_3.pth", epoch=3)
    series = {"train_loss": [0.5, 0.4, 0.3], "val_loss": [0.5, 0.3, 0.4], "lr": [1e-4, 1e-4, 5e-5]}
    (folder / "history.json").write_text(json.dumps(series))
    (folder / "config.json").write_text('{"batch_size": 8}')


def segformer(root):
    for epoch in (2, 3):
        torch_file(
            root / f"epoch_{epoch}.pth", epoch=epoch, train_loss=[1.0, 0.5, 0.4][:epoch],
            val_loss=[1.1, 0.6, 0.7][:epoch], metrics=[{"iou": 0.1 * n} for n in range(epoch)],
        )  # fmt: skip
    torch.save(torch.nn.Linear(2, 2).state_dict(), root / "epoch_1.pth")


SEEDS = {
    text2sign: ("", "loss", [0.25, 0.2], None),
    brain: ("", "val_loss", [0.3], None),
    noon2: ("", "val_loss", [0.95, 0.66, 0.68], 2),
    restoration: ("experiments", "val_loss", [0.5, 0.3, 0.4], 2),
    segformer: ("", "iou", [0.0, 0.1, 0.2], 2),
}


@pytest.mark.parametrize("make", SEEDS, ids=lambda make: make.__name__)
def test_runs_made_by_hand_open_show_their_metrics_and_can_be_drawn(tmp_path, make):
    below, metric, values, best_epoch = SEEDS[make]
    make(tmp_path)
    view = open_run(tmp_path / below)
    assert view.history[metric] == pytest.approx(values)
    assert view.best_epoch == best_epoch
    assert metric in view._repr_html_()
    assert len(view.plot().axes) >= 1


def test_the_hand_made_run_of_a_notebook_shows_all_that_its_guide_promises(tmp_path):
    restoration(tmp_path)
    view = open_run(tmp_path / "experiments", "20251230_153045_v1")
    assert view.n_rows == 3
    assert (view.best.value, view.best_epoch) == (0.3, 2)
    assert view.config["batch_size"] == 8
    assert [event.kind for event in view.events] == ["emergency"]


def test_nothing_of_it_needs_torch_or_anything_heavy(run, tmp_path):
    noon2(tmp_path / "noon2")
    code = (
        "import sys, ckptkit\n"
        f"for path in ({str(run)!r}, {str(tmp_path / 'noon2')!r}):\n"
        "    view = ckptkit.open_run(path)\n"
        "    assert view.n_rows and view.best_epoch == 2 and view._repr_html_()\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not set(eval(done.stdout)) & {"torch", "numpy", "matplotlib", "rich", "click"}


# -- the page of a notebook -----------------------------------------------------------------------


def test_the_page_marks_the_best_row_and_draws_every_metric(run):
    page = open_run(run)._repr_html_()
    assert page.count("<svg") == 2
    assert page.count("<tr class=b>") == 2  # the watched metric, and the row where it was best
    assert "<b>0.5</b> at epoch 2" in page
    assert "resumed once" in page


def test_names_and_settings_of_a_page_are_text_never_markup(run):
    evil = "<script>alert(1)</script>"
    (run / "config.json").write_text(json.dumps({evil: evil}))
    (run / "history.json").write_text(
        json.dumps(
            {evil: [1.0, 2.0], "events": [{"kind": evil, "epoch": 1, "step": 1, "detail": evil}]}
        )
    )
    page = open_run(run)._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_page_stays_small_however_long_the_run(run):
    n_rows = 20_000
    (run / "history.json").write_text(
        json.dumps({"loss": [1.0] * n_rows, "x" * 5000: [2.0] * n_rows})
    )
    assert len(open_run(run)._repr_html_()) < 40_000


def test_a_gap_in_a_small_curve_stays_open_and_one_point_is_one(run):
    (run / "history.json").write_text(
        json.dumps({"loss": [3.0, 2.0, "nan", 1.0, 0.5], "val_loss": [1.0, None, None, None, None]})
    )
    page = open_run(run)._repr_html_()
    assert page.count("<polyline") == 2
    assert page.count("<circle") == 1


def test_the_last_value_is_the_last_one_although_it_is_no_number(run):
    told = {"epoch": [1, 2, 3], "loss": [3.0, 2.0, "nan"], "lost": ["nan"] * 3, "word": ["a"] * 3}
    (run / "history.json").write_text(json.dumps(told))
    page = open_run(run)._repr_html_()
    row = page.split("<tbody>")[1].split("</tr>")[0]
    assert row.endswith("<td>3</td><td>2</td><td>3</td><td>nan</td>")
    assert page.count("<svg") == 2  # of two metrics: words are none


def test_what_is_not_there_has_no_part_of_the_page_and_long_names_leave_room(tmp_path):
    folder = tmp_path / "20260101_000000_v1"
    (folder / "checkpoints").mkdir(parents=True)
    name = "a_metric_of_a_framework/" + "and_on_" * 10
    (folder / "history.json").write_text(json.dumps({name: [1.0]}))
    page = open_run(folder)._repr_html_()
    assert "checkpoints<" not in page
    assert f'title="{name}"' in page
    assert f">{name}<" not in page


def test_names_stand_on_the_left_whatever_the_notebooks_own_style_says(run):
    page = open_run(run)._repr_html_()
    assert "text-align:left !important" in page
    assert '<td class="t">checkpoint_epoch_' in page
    assert " UTC<" in page

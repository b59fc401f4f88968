"""Which component is filled by what: modes, names, nesting, averages, and what is left."""

from pathlib import Path

import pytest
import torch
from torch import nn

import ckptkit
from ckptkit.errors import MismatchError, RestoreError
from ckptkit.verbs.restoring.components import COMPONENTS
from ckptkit.verbs.restoring.planned import MODES


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def trained(seed=0):
    """A model with an optimizer and a schedule that have done three steps."""
    model = net(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(3):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler}


def fresh():
    model = net(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return {
        "model": model, "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2),
    }  # fmt: skip


@pytest.fixture
def path(tmp_path):
    state = trained()
    ckptkit.save(tmp_path / "x", {**state, "progress": {"epoch": 3}, "config": {"lr": 0.1}})
    return tmp_path / "x"


def test_resume_fills_all_that_is_asked_for(path):
    targets = fresh()
    report = ckptkit.restore(path, targets)
    assert {part.name: part.status for part in report.components} == dict.fromkeys(
        targets, "restored"
    )
    assert torch.equal(targets["model"].weight, trained()["model"].weight)
    assert targets["scheduler"].last_epoch == 3
    moments = targets["optimizer"].state[targets["model"].weight]["exp_avg"]
    known = trained()
    assert torch.equal(moments, known["optimizer"].state[known["model"].weight]["exp_avg"])


def test_warm_start_takes_weights_alone_and_says_what_it_left(path):
    targets = fresh()
    report = ckptkit.restore(path, targets, mode="warm-start")
    assert torch.equal(targets["model"].weight, trained()["model"].weight)
    assert not targets["optimizer"].state
    assert targets["scheduler"].last_epoch == 0
    assert report.component("optimizer").status == "fresh"
    assert "warm-start leaves" in report.component("scheduler").notes[0]
    assert set(dict(report.left)) == {"optimizer", "scheduler", "progress"}


def test_fork_takes_weights_and_optimizer_and_begins_a_new_schedule(path):
    targets = fresh()
    report = ckptkit.restore(path, targets, mode="fork")
    assert targets["optimizer"].state
    assert targets["scheduler"].last_epoch == 0
    assert report.component("scheduler").status == "fresh"


def test_what_was_not_asked_for_is_left_with_the_reason_and_information_is_not(path):
    report = ckptkit.restore(path, {"model": net(1)})
    left = dict(report.left)
    assert set(left) == {"optimizer", "scheduler", "progress"}
    assert "no target" in left["optimizer"]


def test_a_target_without_a_section_is_absent_unless_that_is_allowed(path):
    with pytest.raises(MismatchError, match="critic") as caught:
        ckptkit.restore(path, {"model": net(1), "critic": net(2)})
    assert caught.value.report.component("critic").status == "absent"
    report = ckptkit.restore(path, {"model": net(1), "critic": net(2)}, allow_missing="critic")
    assert report.component("critic").status == "absent"
    assert report.ok


@pytest.mark.parametrize("allowed", [True, "critic", "*"])
def test_a_restore_that_would_load_nothing_is_refused_whatever_may_be_missing(path, allowed):
    with pytest.raises(RestoreError, match="critic"):
        ckptkit.restore(path, {"critic": net(2)}, allow_missing=allowed)
    assert not ckptkit.plan_restore(path, {"critic": net(2)}, allow_missing=allowed).ok


def test_a_module_may_be_absent_only_by_its_name(path):
    with pytest.raises(MismatchError, match="critic"):
        ckptkit.restore(path, {"model": net(1), "critic": net(2)}, allow_missing=True)


def test_every_target_is_planned_before_the_first_is_touched(path):
    model = net(1)
    before = model.weight.clone()
    with pytest.raises(MismatchError):
        ckptkit.restore(path, {"model": model, "critic": net(2)})
    assert torch.equal(model.weight, before)


def test_mappings_of_objects_are_walked_on_both_sides(tmp_path):
    state = {"models": {"g": net(1), "d": net(2)}, "progress": {"epoch": 1}}
    ckptkit.save(tmp_path / "x", state)
    live = {"models": {"d": net(3), "g": net(4)}}
    report = ckptkit.restore(tmp_path / "x", live)
    assert torch.equal(live["models"]["g"].weight, net(1).weight)
    assert torch.equal(live["models"]["d"].weight, net(2).weight)
    assert [part.name for part in report.components] == ["models/d", "models/g"]
    assert set(dict(report.left)) == {"progress"}


def test_several_networks_beside_each_other_go_by_their_names(tmp_path):
    ckptkit.save(tmp_path / "x", {"generator": net(1), "discriminator": net(2)})
    live = {"discriminator": net(3), "generator": net(4)}
    ckptkit.restore(tmp_path / "x", live)
    assert torch.equal(live["generator"].weight, net(1).weight)
    assert torch.equal(live["discriminator"].weight, net(2).weight)


def test_one_module_may_take_a_section_of_several_networks(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": {"a": net(1), "b": net(2)}})
    live = nn.ModuleDict({"b": net(3), "a": net(4)})
    ckptkit.restore(tmp_path / "x", {"model": live})
    assert torch.equal(live["a"].weight, net(1).weight)
    assert torch.equal(live["b"].weight, net(2).weight)


def averaged(seed=5):
    return torch.optim.swa_utils.AveragedModel(net(seed))


def test_averaged_weights_fill_a_model_on_request(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": net(1), "ema": averaged(5)})
    live = net(3)
    report = ckptkit.restore(tmp_path / "x", {"model": live}, use="ema", mode="warm-start")
    assert torch.equal(live.weight, net(5).weight)
    assert report.component("model").source.startswith("ema")
    assert "averaged" in dict(report.left)["model"]
    ckptkit.save(tmp_path / "y", {"model": net(1)})
    with pytest.raises(MismatchError, match="no averaged weights"):
        ckptkit.restore(tmp_path / "y", {"model": live}, use="ema")


def test_a_checkpoint_of_averaged_weights_alone_needs_the_word_and_says_so(tmp_path):
    ckptkit.save(tmp_path / "x", {"ema": averaged(5)})
    live = net(3)
    with pytest.raises(MismatchError, match='use="ema"'):
        ckptkit.restore(tmp_path / "x", {"model": live})
    report = ckptkit.restore(tmp_path / "x", {"model": live}, use="ema")
    assert torch.equal(live.weight, net(5).weight)
    assert any("averaged weights only" in note for note in report.component("model").notes)


def test_averages_without_names_go_by_order_only_if_every_shape_agrees(tmp_path):
    shadow = [p.detach() + 1 for p in net(1).parameters()]
    ema = {"shadow_params": shadow, "decay": 0.9, "num_updates": 3}
    torch.save({"ema": ema, "epoch": 1, "optimizer_state_dict": {}}, tmp_path / "x.pt")
    live = net(3)
    with ckptkit.load(tmp_path / "x.pt") as checkpoint:
        document = dict(checkpoint.document.items())
    assert "ema" in document
    ckptkit.save(tmp_path / "x", {"ema": {"weights": shadow, "decay": 0.9}})
    report = ckptkit.restore(tmp_path / "x", {"model": live}, use="ema")
    assert torch.equal(live.weight, net(1).weight + 1)
    assert any("no names" in note for note in report.component("model").notes)
    with pytest.raises(MismatchError, match="list of 2 tensors"):
        ckptkit.restore(tmp_path / "x", {"model": nn.Linear(2, 3)}, use="ema")


def test_migrated_optimizer_sections_go_back_to_torch_without_restore(tmp_path):
    state = trained()
    saved = {"model": state["model"].state_dict(), "optimizer": state["optimizer"].state_dict()}
    torch.save(saved, tmp_path / "x.pt")
    ckptkit.migrate(tmp_path / "x.pt", tmp_path / "x")
    targets = fresh()
    with ckptkit.load(tmp_path / "x") as checkpoint:
        targets["model"].load_state_dict(checkpoint.state("model"))
        targets["optimizer"].load_state_dict(checkpoint.state("optimizer"))
    moments = targets["optimizer"].state[targets["model"].weight]["exp_avg"]
    assert torch.equal(moments, state["optimizer"].state[state["model"].weight]["exp_avg"])


def test_a_plan_touches_nothing_and_speaks_of_the_future(path):
    targets = fresh()
    before = targets["model"].weight.clone()
    report = ckptkit.plan_restore(path, targets)
    assert (report.planned, report.ok) == (True, True)
    assert torch.equal(targets["model"].weight, before)
    assert not targets["optimizer"].state
    refused = ckptkit.plan_restore(path, {"model": nn.Linear(4, 4)})
    assert not refused.ok


def test_the_table_in_the_docs_is_the_table_in_the_code():
    text = (Path(__file__).parents[2] / "docs" / "restore.md").read_text()
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    told = {
        row[0].strip().strip("`"): tuple(
            mode for mode, cell in zip(MODES, row[1:4], strict=True) if cell.strip() == "filled"
        )
        for row in rows if row[0].strip().strip("`") in {c.kind for c in COMPONENTS}
    }  # fmt: skip
    assert told == {component.kind: component.modes for component in COMPONENTS}


def test_one_live_memory_is_not_filled_from_two_tensors_at_once(tmp_path):
    one, two = torch.nn.Linear(600, 600), torch.nn.Linear(600, 600)
    ckptkit.save(tmp_path / "c", {"one": one, "two": two})
    live = torch.nn.Linear(600, 600)
    before = live.weight.clone()
    with pytest.raises(MismatchError, match=r"one/weight and two/weight: are one memory here"):
        ckptkit.restore(tmp_path / "c", {"one": live, "two": live})
    assert torch.equal(live.weight, before)


def test_a_part_that_two_modules_share_is_filled_where_the_checkpoint_shares_it_too(tmp_path):
    part = torch.nn.Linear(3, 3)
    ckptkit.save(tmp_path / "c", {"one": torch.nn.Sequential(part), "two": part})
    live = torch.nn.Linear(3, 3)
    ckptkit.restore(tmp_path / "c", {"one": torch.nn.Sequential(live), "two": live})
    assert torch.equal(live.weight, part.weight)


def test_an_error_of_the_callers_own_says_that_objects_are_partly_filled(tmp_path):
    ckptkit.save(tmp_path / "c", {"model": torch.nn.Linear(3, 3)})
    with pytest.raises(ZeroDivisionError) as caught:
        ckptkit.restore(tmp_path / "c", {"model": torch.nn.Linear(3, 4)}, on_shape=lambda *_: 1 / 0)
    assert "partly filled" in caught.value.__notes__[0]

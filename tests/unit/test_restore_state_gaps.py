import pytest
import torch

import ckptkit
from ckptkit.errors import OptimizerMatchError
from tests.unit.training import KINDS, network, same, train


def trained(kind="AdamW", seed=0):
    model = network(seed=seed, kind=kind)
    optimizer = KINDS[kind](model.parameters())
    return model, optimizer


def stored(tmp_path, spoil, kind="AdamW"):
    """A file of torch whose optimizer's state ``spoil`` has changed."""
    model, optimizer = trained(kind)
    train(model, optimizer)
    state = optimizer.state_dict()
    spoil(state["state"])
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "c.pt")
    return tmp_path / "c.pt"


def halve(state):
    for number in (3, 5):
        del state[number]["exp_avg"]


def test_half_a_state_is_refused_before_anything_is_changed(tmp_path):
    path = stored(tmp_path, halve)
    model, optimizer = trained(seed=3)
    with pytest.raises(OptimizerMatchError, match="2 of 6 states are gone or incomplete") as caught:
        ckptkit.restore(path, {"model": model, "optimizer": optimizer})
    part = caught.value.report.component("optimizer")
    assert [(line.kind, line.name) for line in part.lines] == [
        ("missing", "2.bias"),
        ("missing", "3.bias"),
    ]
    assert part.lines[0].detail == "incomplete in the file: exp_avg is missing"
    assert "allow_missing=['optimizer/*.bias']" in str(caught.value)
    assert not optimizer.state


@pytest.mark.parametrize("allowed", [True, ("*.bias",), ("optimizer/*",), "?.bias"])
def test_where_it_is_allowed_the_parameter_begins_fresh_and_training_goes_on(allowed, tmp_path):
    path = stored(tmp_path, halve)
    model, optimizer = trained(seed=3)
    report = ckptkit.restore(path, {"model": model, "optimizer": optimizer}, allow_missing=allowed)
    part = report.component("optimizer")
    assert part.status == "partly"
    assert (part.coverage.tensors, part.coverage.of_tensors) == (4, 6)
    assert {line.name for line in part.lines if line.kind == "fresh"} == {"2.bias", "3.bias"}
    parameters = list(model.parameters())
    assert [bool(optimizer.state[one]) for one in parameters] == [
        True, True, True, False, True, False,
    ]  # fmt: skip
    train(model, optimizer)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_honest_state_of_any_optimizer_has_no_gap(kind, tmp_path):
    path = stored(tmp_path, lambda state: None, kind)
    model, optimizer = trained(kind, seed=3)
    report = ckptkit.plan_restore(path, {"model": model, "optimizer": optimizer})
    part = report.component("optimizer")
    assert part.status == "restored", str(report)
    assert not [note for note in part.notes if "never stepped" in note]


@pytest.mark.parametrize("spoil", [lambda state: state.pop(3), lambda state: state[3].clear()])
def test_a_parameter_that_was_never_stepped_is_no_gap_and_is_named(spoil, tmp_path):
    path = stored(tmp_path, spoil)
    model, optimizer = trained(seed=3)
    report = ckptkit.restore(path, {"model": model, "optimizer": optimizer})
    part = report.component("optimizer")
    assert part.status == "restored"
    assert any("no state in the file, as if never stepped: 2.bias" in note for note in part.notes)
    train(model, optimizer)


def test_what_recover_could_not_save_is_gone_and_not_never_stepped(tmp_path):
    model, optimizer = trained()
    train(model, optimizer)
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "whole.pt"
    )
    whole = (tmp_path / "whole.pt").read_bytes()
    found = 0
    for part in range(40, 90, 5):
        cut = tmp_path / f"cut{part}.pt"
        cut.write_bytes(whole[: len(whole) * part // 100])
        saved = tmp_path / f"saved{part}"
        try:
            ckptkit.recover(cut, saved)
        except ckptkit.CkptkitError:
            continue
        other, resumed = trained(seed=3)
        targets = {"model": other, "optimizer": resumed}
        plan = ckptkit.plan_restore(saved, targets)
        if plan.error != "OptimizerMatch":
            continue  # the weights themselves are hurt, or nothing is
        found += 1
        assert "are gone or incomplete" in str(plan)
        report = ckptkit.restore(saved, targets, allow_missing=True)
        fresh = [line for line in report.component("optimizer").lines if line.kind == "fresh"]
        assert {line.detail for line in fresh} <= {
            "its state is gone from the file",
            "incomplete in the file: exp_avg, exp_avg_sq are missing",
            "incomplete in the file: exp_avg_sq is missing",
        }
        train(other, resumed)
    assert found


def test_sealed_again_a_whole_state_stays_the_same_to_the_bit(tmp_path):
    model, optimizer = trained()
    train(model, optimizer)
    ckptkit.save(tmp_path / "c", {"model": model, "optimizer": optimizer})
    other, resumed = trained(seed=3)
    ckptkit.restore(tmp_path / "c", {"model": other, "optimizer": resumed})
    assert same(resumed.state_dict(), optimizer.state_dict())

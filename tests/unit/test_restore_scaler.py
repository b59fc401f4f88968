import pytest
import torch

import ckptkit
from ckptkit.errors import MismatchError, SettingConflictError
from tests.unit.training import saved


def scaler(**options):
    return torch.amp.GradScaler("cpu", **{"init_scale": 8.0, "growth_interval": 3, **options})


def used(*, steps=4, **options):
    """A scaler whose scale has moved."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    one = scaler(**options)
    for _ in range(steps):
        optimizer.zero_grad()
        one.scale(model(torch.ones(1, 2)).sum()).backward()
        one.step(optimizer)
        one.update()
    return one


@pytest.mark.parametrize("how", ["ckptkit", "torch"])
def test_the_scale_goes_on_where_it_was(how, tmp_path):
    old = used()
    assert old.get_scale() == 16.0
    path = saved(tmp_path, how, scaler=old, model=torch.nn.Linear(2, 2))
    for new in (scaler(), used(steps=1)):
        ckptkit.restore(path, {"scaler": new})
        assert new.state_dict() == old.state_dict()


def test_its_settings_are_decided_by_policy(tmp_path):
    path = saved(tmp_path, "ckptkit", scaler=used())
    new = scaler(growth_interval=50)
    report = ckptkit.restore(path, {"scaler": new}, on_conflict="current")
    assert (new.get_growth_interval(), new.get_scale()) == (50, 16.0)
    (row,) = report.component("scaler").settings
    assert (row.field, row.asked, row.saved, row.used) == ("growth_interval", 50, 3, 50)
    with pytest.raises(SettingConflictError):
        ckptkit.restore(path, {"scaler": scaler(growth_interval=50)}, on_conflict="error")


def test_a_scaler_that_was_disabled_has_no_state_and_the_report_says_so(tmp_path):
    path = saved(tmp_path, "ckptkit", scaler=scaler(enabled=False))
    new = scaler()
    component = ckptkit.restore(path, {"scaler": new}).component("scaler")
    assert component.status == "fresh"
    assert "was disabled" in component.lines[0].detail
    assert new.get_scale() == 8.0


def test_a_disabled_scaler_takes_nothing_and_the_report_says_so(tmp_path):
    path = saved(tmp_path, "ckptkit", scaler=used())
    new = scaler(enabled=False)
    component = ckptkit.restore(path, {"scaler": new}).component("scaler")
    assert component.status == "partly"
    assert component.lines[0].kind == "dropped"
    assert new.state_dict() == {}


def test_a_state_that_lacks_a_field_is_refused(tmp_path):
    state = used().state_dict()
    del state["_growth_tracker"]
    ckptkit.save(tmp_path / "c", {"scaler": state})
    with pytest.raises(MismatchError, match="lacks _growth_tracker"):
        ckptkit.restore(tmp_path / "c", {"scaler": scaler()})


def test_a_checkpoint_without_a_scaler_is_refused_unless_allowed(tmp_path):
    path = saved(tmp_path, "ckptkit", progress={"epoch": 1})
    with pytest.raises(MismatchError, match="nothing for it"):
        ckptkit.restore(path, {"scaler": scaler()})
    report = ckptkit.restore(path, {"scaler": scaler()}, allow_missing=("scaler",))
    assert report.component("scaler").status == "absent"

import pytest
import torch
from diffusers.training_utils import EMAModel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import ckptkit
from ckptkit.errors import MismatchError, SettingConflictError
from tests.unit.training import network, same, saved, train

pytestmark = pytest.mark.real_library  # EMAModel is that of diffusers


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 6), torch.nn.Linear(6, 4)
    )


def averaged(model, *, use_buffers=False, decay=0.9):
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=use_buffers)


def run(model, optimizer, average, *, steps=4, seed=1):
    for step in range(steps):
        train(model, optimizer, steps=1, seed=seed + step)
        if isinstance(average, AveragedModel):
            average.update_parameters(model)
        else:
            average.step(model.parameters())


def twin(make, seed):
    model = net(seed)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), make(model)


def shadow(model, **options):
    return EMAModel(model.parameters(), **options)


FORMS = {
    "AveragedModel": averaged,
    "AveragedModel with buffers": lambda model: averaged(model, use_buffers=True),
    "EMAModel": shadow,
    "EMAModel, warm up": lambda model: shadow(model, decay=0.95, use_ema_warmup=True, power=0.75),
}


def state_of(average):
    return (
        average.state_dict()
        if not isinstance(average, AveragedModel)
        else dict(average.state_dict())
    )


@pytest.mark.parametrize("form", FORMS)
def test_an_average_goes_on_as_if_it_had_never_stopped(form, tmp_path):
    model, optimizer, average = twin(FORMS[form], 0)
    run(model, optimizer, average)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer, ema=average)
    other, resumed, again = twin(FORMS[form], 5)
    report = ckptkit.restore(path, {"model": other, "optimizer": resumed, "ema": again})
    component = report.component("ema")
    assert (component.kind, component.status) == ("average", "restored")
    assert same(state_of(again), state_of(average))
    run(model, optimizer, average, seed=20)
    run(other, resumed, again, seed=20)
    assert same(state_of(again), state_of(average))


def test_the_tensors_of_a_shadow_list_are_filled_where_they_lie(tmp_path):
    model, optimizer, average = twin(shadow, 0)
    run(model, optimizer, average)
    path = saved(tmp_path, "ckptkit", model=model, ema=average)
    other, _, again = twin(shadow, 5)
    listed, first = again.shadow_params, again.shadow_params[0]
    ckptkit.restore(path, {"model": other, "ema": again})
    assert again.shadow_params is listed
    assert again.shadow_params[0] is first
    assert torch.equal(first, average.shadow_params[0])


def files(model, average):
    """The ways in which scripts write an average beside its model."""
    weights = dict(average.module.state_dict())
    state = average.state_dict()
    yield {"model": model.state_dict(), "ema": weights}
    yield {
        "state_dict": model.state_dict(),
        "state_dict_ema": weights,
        "arch": "x",
        "version": 2,
        "epoch": 3,
    }
    yield {"model": model.state_dict(), "ema": state}


@pytest.mark.parametrize("index", [0, 1, 2])
def test_averages_of_plain_files_fill_an_averaged_model(index, tmp_path):
    model, optimizer, average = twin(averaged, 0)
    run(model, optimizer, average)
    torch.save(list(files(model, average))[index], tmp_path / "c.pt")
    other, _, again = twin(averaged, 5)
    ckptkit.restore(tmp_path / "c.pt", {"model": other, "ema": again})
    assert same(dict(again.module.state_dict()), dict(average.module.state_dict()))
    assert same(dict(other.state_dict()), dict(model.state_dict()))


@pytest.mark.parametrize("make", [shadow, averaged])
def test_a_list_without_names_is_taken_in_order_where_every_shape_agrees(make, tmp_path):
    model, optimizer, average = twin(shadow, 0)
    run(model, optimizer, average)
    state = {"model": model.state_dict(), "ema": average.state_dict()}
    torch.save(state, tmp_path / "c.pt")
    other, _, again = twin(make, 5)
    component = ckptkit.restore(tmp_path / "c.pt", {"model": other, "ema": again}).component("ema")
    found = again.shadow_params if make is shadow else list(again.module.parameters())
    assert same([p.detach() for p in found], [p.detach() for p in average.shadow_params])
    assert "nobody stored names" in component.notes[0]
    if make is averaged:  # a list has no buffers: averaging takes them from the model
        assert torch.equal(again.module[1].running_mean, model[1].running_mean)
    else:
        assert again.optimization_step == 4


def test_a_list_without_names_and_of_other_shapes_is_refused(tmp_path):
    _, _, average = twin(shadow, 0)
    torch.save({"model": net().state_dict(), "ema": average.state_dict()}, tmp_path / "c.pt")
    other = network()
    before = [p.clone() for p in other.parameters()]
    with pytest.raises(MismatchError, match="without names"):
        ckptkit.restore(tmp_path / "c.pt", {"ema": shadow(other)})
    assert same([p.detach() for p in other.parameters()], [p.detach() for p in before])


def test_names_bring_a_list_into_another_order(tmp_path):
    model, optimizer, average = twin(shadow, 0)
    run(model, optimizer, average)
    path = saved(tmp_path, "ckptkit", model=model, ema=average)
    other = net(5)
    moved = torch.nn.Sequential()
    for name in ("3", "2", "1", "0"):
        moved.add_module(name, other[int(name)])
    again = shadow(moved)
    ckptkit.restore(path, {"model": moved, "ema": again})
    by_name = dict(zip([n for n, _ in moved.named_parameters()], again.shadow_params, strict=True))
    expected = dict(
        zip([n for n, _ in model.named_parameters()], average.shadow_params, strict=True)
    )
    assert same(by_name, {name: expected[name] for name in by_name})


def test_an_average_of_one_form_fills_the_other(tmp_path):
    model, optimizer, average = twin(averaged, 0)
    run(model, optimizer, average)
    path = saved(tmp_path, "ckptkit", model=model, ema=average)
    other, _, again = twin(shadow, 5)
    ckptkit.restore(path, {"model": other, "ema": again})
    assert same(again.shadow_params, [p.detach() for p in average.module.parameters()])
    assert again.optimization_step == 4


def test_wrapper_prefixes_of_the_average_are_undone(tmp_path):
    model, optimizer, average = twin(averaged, 0)
    run(model, optimizer, average)
    path = saved(tmp_path, "ckptkit", model=model, ema=average)
    other = torch.nn.DataParallel(net(5))
    again = averaged(other)
    ckptkit.restore(path, {"model": other, "ema": again})
    expected = [p.detach() for p in average.module.parameters()]
    assert same([p.detach() for p in again.module.parameters()], expected)
    assert int(again.n_averaged) == 4


def test_decay_is_a_setting_and_the_count_is_position(tmp_path):
    model, optimizer, average = twin(lambda m: shadow(m, decay=0.99, min_decay=0.1), 0)
    run(model, optimizer, average)
    path = saved(tmp_path, "ckptkit", model=model, ema=average)

    def asked():
        other, _, again = twin(lambda m: shadow(m, decay=0.5, min_decay=0.1), 5)
        return again, {"model": other, "ema": again}

    again, targets = asked()
    ckptkit.restore(path, targets)
    assert (again.decay, again.optimization_step) == (0.99, 4)
    again, targets = asked()
    report = ckptkit.restore(path, targets, on_conflict="current")
    assert (again.decay, again.optimization_step) == (0.5, 4)
    (row,) = report.component("ema").settings
    assert (row.field, row.asked, row.saved, row.used) == ("decay", 0.5, 0.99, 0.5)
    again, targets = asked()
    with pytest.raises(SettingConflictError, match=r"decay is 0\.99"):
        ckptkit.restore(path, targets, on_conflict="error")


def test_the_count_of_an_average_that_nobody_counted_stays_and_is_told(tmp_path):
    model, _, average = twin(averaged, 0)
    torch.save({"model": model.state_dict(), "ema": average.module.state_dict()}, tmp_path / "c.pt")
    other, _, again = twin(averaged, 5)
    component = ckptkit.restore(tmp_path / "c.pt", {"model": other, "ema": again}).component("ema")
    assert ("defaulted", "n_averaged") in {(line.kind, line.name) for line in component.lines}


def test_an_average_that_misses_a_parameter_is_refused(tmp_path):
    model, _, average = twin(averaged, 0)
    weights = dict(average.module.state_dict())
    del weights["0.weight"]
    torch.save({"model": model.state_dict(), "ema": weights}, tmp_path / "c.pt")
    other, _, again = twin(averaged, 5)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(MismatchError, match=r"0\.weight"):
        ckptkit.restore(tmp_path / "c.pt", {"model": other, "ema": again})
    assert same(dict(other.state_dict()), before)

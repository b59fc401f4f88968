import copy
import warnings

import pytest
import torch

import ckptkit
from ckptkit.errors import OptimizerMatchError
from tests.unit.training import KINDS, named_state, network, same, saved, train


@pytest.mark.parametrize("how", ["ckptkit", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_as_if_it_had_never_stopped(kind, how, tmp_path):
    model = network(kind=kind)
    optimizer = KINDS[kind](model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, how, model=model, optimizer=optimizer)
    other = network(seed=5, kind=kind)
    resumed = KINDS[kind](other.parameters())
    report = ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert same(resumed.state_dict(), optimizer.state_dict())
    assert report.component("optimizer").status == "restored"
    train(model, optimizer, seed=2)
    train(other, resumed, seed=2)
    assert same(other.state_dict(), model.state_dict())
    assert same(resumed.state_dict(), optimizer.state_dict())


@pytest.mark.parametrize("kind", ["Adam", "SGD, momentum", "RMSprop, centered, momentum"])
def test_an_optimizer_in_the_middle_of_its_own_run_is_filled_in_place(kind, tmp_path):
    model = network()
    optimizer = KINDS[kind](model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    before = named_state(model, optimizer)
    addresses = {
        (name, key): value.data_ptr()
        for name, state in before.items()
        for key, value in state.items()
    }
    kept = {name: {key: value.clone() for key, value in s.items()} for name, s in before.items()}
    train(model, optimizer, seed=3)
    ckptkit.restore(path, {"model": model, "optimizer": optimizer})
    after = named_state(model, optimizer)
    assert same(after, kept)
    assert addresses == {
        (name, key): value.data_ptr()
        for name, state in after.items()
        for key, value in state.items()
    }


def swapped(parameters):
    """Exchange the two parameters of one shape, which torch would take without a word."""
    parameters = list(parameters)
    parameters[2], parameters[4] = parameters[4], parameters[2]
    return parameters


def test_torch_itself_gives_state_to_the_wrong_parameter_without_a_word():
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    other = torch.optim.Adam(swapped(model.parameters()))
    other.load_state_dict(optimizer.state_dict())
    wrong = other.state[model[2].weight]["exp_avg"]
    assert torch.equal(wrong, optimizer.state[model[3].weight]["exp_avg"])


@pytest.mark.parametrize("how", ["ckptkit", "torch"])
def test_with_names_state_follows_its_parameter_into_any_order(how, tmp_path):
    model = network()
    named = list(model.named_parameters()) if how == "torch" else list(model.parameters())
    optimizer = torch.optim.Adam(named)
    train(model, optimizer)
    path = saved(tmp_path, how, model=model, optimizer=optimizer)
    other = network(seed=4)
    resumed = torch.optim.Adam(swapped(other.parameters()))
    ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(model, optimizer))


def test_without_names_the_order_is_used_where_every_shape_agrees(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "torch", model=model, optimizer=optimizer)
    other = network(seed=4)
    resumed = torch.optim.Adam(other.parameters())
    report = ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(model, optimizer))
    assert "order" in " ".join(report.component("optimizer").notes)


@pytest.mark.parametrize("first", [0, 2])
def test_without_names_a_swapped_order_is_refused(first, tmp_path):
    """Two parameters of one shape: nothing tells which order the stored optimizer had."""
    model = network()
    optimizer = torch.optim.Adam(list(model.parameters())[first:])
    train(model, optimizer)
    path = saved(tmp_path, "torch", model=model, optimizer=optimizer)
    other = network(seed=4)
    resumed = torch.optim.Adam(swapped(other.parameters())[first:])
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(OptimizerMatchError, match="order"):
        ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert same(dict(other.state_dict()), before)
    assert not resumed.state


def test_the_history_of_lbfgs_is_refused_for_another_order(tmp_path):
    model = network()
    optimizer = KINDS["LBFGS"](model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4)
    with pytest.raises(OptimizerMatchError, match="order"):
        ckptkit.restore(
            path, {"model": other, "optimizer": KINDS["LBFGS"](swapped(other.parameters()))}
        )


def test_a_bf16_parameter_keeps_its_float32_state(tmp_path):
    """torch's own load_state_dict would round the state to the dtype of the parameter."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4).bfloat16()
    resumed = torch.optim.Adam(other.parameters())
    ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(model, optimizer))
    assert resumed.state[other[0].weight]["exp_avg_sq"].dtype == torch.float32


def test_second_moments_in_half_precision_come_back_as_they_are_with_a_warning(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    state = optimizer.state_dict()
    for own in state["state"].values():
        own["exp_avg"], own["exp_avg_sq"] = own["exp_avg"].half(), own["exp_avg_sq"].half()
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "half.pt")
    other = network(seed=4)
    resumed = torch.optim.Adam(other.parameters())
    report = ckptkit.restore(tmp_path / "half.pt", {"model": other, "optimizer": resumed})
    notes = report.component("optimizer").notes
    assert any("lossy: exp_avg_sq of 6 parameters was saved as float16" in note for note in notes)
    assert resumed.state[other[0].weight]["exp_avg_sq"].dtype == torch.float16


def test_steps_that_were_plain_numbers_become_what_torch_makes_of_them(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    for own in state["state"].values():
        own["step"] = int(own["step"])  # as torch before 1.12
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "old.pt")
    other = network(seed=4)
    resumed = torch.optim.Adam(other.parameters())
    ckptkit.restore(tmp_path / "old.pt", {"model": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(model, optimizer))


def test_numbers_that_were_memory_addresses_are_read_too(tmp_path):
    """Before torch 1.5 a parameter's number was its id()."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    state = optimizer.state_dict()
    moved = {number: 140_000_000_000_000 + 64 * number for number in state["state"]}
    state["state"] = {moved[number]: own for number, own in reversed(state["state"].items())}
    for group in state["param_groups"]:
        group["params"] = [moved[number] for number in group["params"]]
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "old.pt")
    other = network(seed=4)
    resumed = torch.optim.Adam(other.parameters())
    ckptkit.restore(tmp_path / "old.pt", {"model": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(model, optimizer))


def by_name(model, optimizer, *, flat):
    """The forms of torch.distributed.checkpoint.state_dict and of Lightning's FSDP."""
    state = optimizer.state_dict()
    names = [name for name, _ in model.named_parameters()]
    own = {names[number]: value for number, value in state["state"].items()}
    (group,) = state["param_groups"]
    settings = {key: value for key, value in group.items() if key != "params"}
    if not flat:
        return {"state": own, "param_groups": [{**settings, "params": names}]}
    rows = {f"state.{name}.{key}": v for name, words in own.items() for key, v in words.items()}
    return rows | {f"param_groups.{name}.{key}": v for name in names for key, v in settings.items()}


@pytest.mark.parametrize("flat", [False, True])
def test_state_that_is_keyed_by_name_is_restored(flat, tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    train(model, optimizer)
    ckptkit.save(
        tmp_path / "c", {"model": model, "optimizer": by_name(model, optimizer, flat=flat)}
    )
    other = network(seed=4)
    resumed = torch.optim.Adam(swapped(other.parameters()), lr=0.05)
    ckptkit.restore(tmp_path / "c", {"model": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(model, optimizer))


def test_several_optimizers_find_their_own_state(tmp_path):
    maker, judge = network(1), network(2)
    first = torch.optim.Adam(maker.parameters())
    second = torch.optim.SGD(judge.parameters(), lr=0.1, momentum=0.9)
    train(maker, first)
    train(judge, second)
    state = {"maker": maker, "judge": judge, "optimizer": {"maker": first, "judge": second}}
    ckptkit.save(tmp_path / "c", state)
    one, two = network(3), network(4)
    new_first = torch.optim.Adam(one.parameters())
    new_second = torch.optim.SGD(two.parameters(), lr=0.1, momentum=0.9)
    targets = {"optimizer": {"judge": new_second, "maker": new_first}, "maker": one, "judge": two}
    ckptkit.restore(tmp_path / "c", targets)
    assert same(named_state(one, new_first), named_state(maker, first))
    assert same(named_state(two, new_second), named_state(judge, second))


def test_one_optimizer_over_two_modules_tells_their_equal_names_apart(tmp_path):
    maker, judge = network(1), network(2)
    both = torch.optim.Adam([*maker.parameters(), *judge.parameters()])
    train(torch.nn.Sequential(maker, torch.nn.Linear(6, 4), judge), both)
    ckptkit.save(tmp_path / "c", {"maker": maker, "judge": judge, "optimizer": both})
    one, two = network(3), network(4)
    resumed = torch.optim.Adam([*two.parameters(), *one.parameters()])
    ckptkit.restore(tmp_path / "c", {"maker": one, "judge": two, "optimizer": resumed})
    assert same(named_state(one, resumed), named_state(maker, both))
    assert same(named_state(two, resumed), named_state(judge, both))


def test_one_stored_optimizer_is_not_given_to_two(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    targets = {"model": model, "a": optimizer, "b": torch.optim.Adam(network().parameters())}
    report = ckptkit.plan_restore(path, targets)
    assert [report.component(name).status for name in "ab"] == ["absent", "absent"]


def test_an_optimizer_of_another_kind_is_refused_by_its_fields(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "torch", model=model, optimizer=optimizer)
    other = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(OptimizerMatchError, match="another kind of optimizer than SGD"):
        ckptkit.restore(path, {"model": model, "optimizer": other})


def test_hooks_of_the_optimizer_run_and_see_real_tensors(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4).bfloat16()
    resumed = torch.optim.Adam(other.parameters())
    seen = []
    resumed.register_load_state_dict_pre_hook(
        lambda _, state: seen.append(state["state"][0]["exp_avg"].shape)
    )
    resumed.register_load_state_dict_post_hook(lambda optimizer: seen.append("after"))
    ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert seen == [torch.Size([6, 4]), "after"]
    assert same(named_state(other, resumed), named_state(model, optimizer))


def test_a_dry_run_changes_nothing(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4)
    resumed = torch.optim.Adam(other.parameters(), lr=0.7)
    report = ckptkit.plan_restore(path, {"model": other, "optimizer": resumed})
    assert report.ok
    assert not resumed.state
    assert resumed.param_groups[0]["lr"] == 0.7


def test_a_class_of_its_own_gets_all_that_it_saved(tmp_path):
    class Counting(torch.optim.SGD):
        """Keeps a number beside state and groups, and state of no parameter."""

        rounds = 0

        def state_dict(self):
            return {**super().state_dict(), "rounds": self.rounds}

        def load_state_dict(self, state):
            self.seen = [type(group["params"]) for group in state["param_groups"]]
            self.rounds = state["rounds"]
            super().load_state_dict(state)

    model = network()
    optimizer = Counting(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer)
    optimizer.rounds = 7
    optimizer.state["norms"] = {"all": torch.ones(2)}
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4)
    resumed = Counting(other.parameters(), lr=0.1, momentum=0.9)
    ckptkit.restore(path, {"model": other, "optimizer": resumed})
    assert (resumed.rounds, resumed.seen) == (7, [list])
    assert same(resumed.state["norms"], {"all": torch.ones(2)})
    assert same(named_state(other, resumed), named_state(model, optimizer))


def test_a_model_on_the_meta_device_is_made_and_its_optimizer_with_it(tmp_path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    with torch.device("meta"):
        other = network()
    resumed = torch.optim.Adam(other.parameters())
    assert ckptkit.plan_restore(path, {"model": other, "optimizer": resumed}).ok
    assert next(other.parameters()).is_meta
    ckptkit.restore(path, {"optimizer": resumed, "model": other})
    train(model, optimizer, seed=2)
    train(other, resumed, seed=2)
    assert same(dict(other.state_dict()), dict(model.state_dict()))


def test_optimizers_in_a_list_find_those_of_the_stored_list(tmp_path):
    models = [network(1), network(2)]
    pair = [torch.optim.Adam(model.named_parameters()) for model in models]
    for model, optimizer in zip(models, pair, strict=True):
        train(model, optimizer)
    state = {
        "state_dict": {
            f"{i}.{name}": v for i, m in enumerate(models) for name, v in m.state_dict().items()
        },
        "optimizer": [optimizer.state_dict() for optimizer in pair],
    }
    torch.save(state, tmp_path / "c.pt")
    fresh = [network(3), network(4)]
    resumed = [torch.optim.Adam(model.named_parameters()) for model in fresh]
    whole = torch.nn.ModuleList(fresh)
    report = ckptkit.plan_restore(tmp_path / "c.pt", {"model": whole, "optimizer": resumed})
    assert [part.source for part in report.components] == ["model", "optimizer/0", "optimizer/1"]


@pytest.mark.parametrize("flat", [False, True])
def test_a_distributed_checkpoint_of_torch_itself_is_restored_by_name(flat, tmp_path):
    from torch.distributed.checkpoint import FileSystemWriter, save
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer)
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    state = get_optimizer_state_dict(model, optimizer, options=options)
    whole = {"model": model.state_dict(), "optimizer": state}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that nothing is distributed
        save(whole, storage_writer=FileSystemWriter(tmp_path / "c"), no_dist=True)
    other = network(seed=4)
    resumed = torch.optim.AdamW(swapped(other.parameters()))
    ckptkit.restore(tmp_path / "c", {"model": other, "optimizer": resumed})
    assert same(named_state(other, resumed), named_state(model, optimizer))


@pytest.mark.real_library
def test_the_optimizer_and_schedule_of_a_real_lightning_run_go_on(tmp_path):
    lightning = pytest.importorskip("lightning")

    class Run(lightning.LightningModule):
        def __init__(self, seed):
            super().__init__()
            self.net = network(seed)

        def training_step(self, batch, _):
            return (self.net(batch[0]) ** 2).mean()

        def configure_optimizers(self):
            self.made = torch.optim.AdamW(self.parameters(), lr=0.01)
            schedule = torch.optim.lr_scheduler.OneCycleLR(self.made, 0.1, total_steps=50)
            return [self.made], [{"scheduler": schedule, "interval": "step"}]

    run, other = Run(0), Run(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = torch.utils.data.TensorDataset(torch.randn(20, 4))
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = lightning.Trainer(
            max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet
        )
        trainer.fit(run, torch.utils.data.DataLoader(data, batch_size=5))
        trainer.save_checkpoint(tmp_path / "c.ckpt")
    (optimizer,), (schedule,) = other.configure_optimizers()
    targets = {"model": other, "optimizer": optimizer, "scheduler": schedule["scheduler"]}
    ckptkit.restore(tmp_path / "c.ckpt", targets)
    assert same(named_state(other, optimizer), named_state(run, run.made))
    assert optimizer.param_groups[0]["lr"] == run.made.param_groups[0]["lr"]
    assert schedule["scheduler"].last_epoch == 8


@pytest.mark.real_library
def test_the_optimizer_that_accelerate_wraps_is_restored(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer)
    path = saved(tmp_path, "ckptkit", model=model, optimizer=optimizer)
    other = network(seed=4)
    made = torch.optim.AdamW(swapped(other.parameters()))
    other, wrapped = accelerate.Accelerator(cpu=True).prepare(other, made)
    ckptkit.restore(path, {"model": other, "optimizer": wrapped})
    assert same(named_state(other, wrapped.optimizer), named_state(model, optimizer))


def test_an_object_of_a_class_in_the_state_is_refused_and_named(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer)
    state = optimizer.state_dict()
    state["state"][0]["extra"] = Odd()
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "c.pt")
    with pytest.raises(OptimizerMatchError, match=r"holds an object of .*Odd"):
        ckptkit.restore(tmp_path / "c.pt", {"model": model, "optimizer": optimizer})


class Odd:
    """Nobody but its own code can make one."""

    def __init__(self):
        self.x = 1

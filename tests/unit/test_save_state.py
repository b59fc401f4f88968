"""What optimizers, schedulers, scalers, averages and the process itself leave in a checkpoint."""

import copy
import subprocess
import sys
import warnings

import pytest
import torch
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn

import ckptkit
from ckptkit.errors import UnrepresentableError
from ckptkit.verbs.saving import surroundings
from tests.unit.saved_values import restored, save_plain

OPTIMIZERS = [
    name
    for name in torch.optim.__all__
    if isinstance(getattr(torch.optim, name, None), type)
    and name not in ("Optimizer", "SparseAdam")
]


def a_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))


def stepped(optimizer, model, **closure):
    def loss():
        optimizer.zero_grad()
        value = model(torch.ones(1, 4)).square().sum()
        value.backward()
        return value

    optimizer.step(loss) if closure else (loss(), optimizer.step())
    return optimizer


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_saved_with_names_and_shapes(tmp_path, name):
    model = a_model()
    kind = getattr(torch.optim, name)
    parameters = [p for p in model.parameters() if name != "Muon" or p.ndim == 2]
    optimizer = kind(parameters, lr=0.01)
    stepped(optimizer, model, **({"closure": True} if name == "LBFGS" else {}))
    save_plain(tmp_path / "c", {"model": model, "optimizer": optimizer})
    again = restored(tmp_path / "c")["optimizer"]
    told = again.pop("parameters")
    assert equal(again, optimizer.state_dict())
    named = {id(p): n for n, p in model.named_parameters()}
    assert told == {
        "sections": ["model"] * len(parameters),
        "names": [named[id(p)] for p in parameters],
        "shapes": [tuple(p.shape) for p in parameters],
    }
    fresh = kind([torch.nn.Parameter(torch.zeros_like(p)) for p in parameters], lr=0.5)
    fresh.load_state_dict({**again, "parameters": told})  # torch ignores the extra key


def test_names_follow_the_groups_of_the_optimizer(tmp_path):
    model = a_model()
    groups = [{"params": [model[1].bias]}, {"params": [model[0].weight], "lr": 1.0}]
    save_plain(tmp_path / "c", {"model": model, "optimizer": torch.optim.SGD(groups, lr=0.1)})
    again = restored(tmp_path / "c")["optimizer"]
    assert again["parameters"]["names"] == ["1.bias", "0.weight"]
    assert [group["params"] for group in again["param_groups"]] == [[0], [1]]


def test_parameters_that_no_module_has_keep_what_the_optimizer_knows(tmp_path):
    loose = torch.nn.Parameter(torch.zeros(2))
    for optimizer, names in (
        (torch.optim.SGD([loose], lr=0.1), [""]),
        (torch.optim.SGD(a_model().named_parameters(), lr=0.1), list(a_model().state_dict())),
    ):
        save_plain(tmp_path / "c", {"optimizer": optimizer})
        told = restored(tmp_path / "c")["optimizer"]["parameters"]
        assert told["names"] == names
        assert set(told["sections"]) == {""}


SCHEDULERS = {
    "LambdaLR": lambda o: lrs.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: lrs.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda o: lrs.StepLR(o, 2),
    "MultiStepLR": lambda o: lrs.MultiStepLR(o, [1, 3]),
    "ConstantLR": lrs.ConstantLR,
    "LinearLR": lrs.LinearLR,
    "ExponentialLR": lambda o: lrs.ExponentialLR(o, 0.9),
    "PolynomialLR": lrs.PolynomialLR,
    "CosineAnnealingLR": lambda o: lrs.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 5),
    "OneCycleLR": lambda o: lrs.OneCycleLR(o, 1.0, total_steps=10),
    "CyclicLR": lambda o: lrs.CyclicLR(o, 0.1, 1.0),
    "ReduceLROnPlateau": lrs.ReduceLROnPlateau,
    "SWALR": lambda o: SWALR(o, 0.5),
    "SequentialLR": lambda o: lrs.SequentialLR(
        o, [lrs.ConstantLR(o), lrs.ExponentialLR(o, 0.9)], [2]
    ),
    "ChainedScheduler": lambda o: lrs.ChainedScheduler([lrs.ConstantLR(o), lrs.StepLR(o, 1)], o),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.filterwarnings("ignore")
def test_every_scheduler_is_saved(tmp_path, name):
    optimizer = stepped(torch.optim.SGD(a_model().parameters(), lr=0.1, momentum=0.9), a_model())
    scheduler = SCHEDULERS[name](optimizer)
    scheduler.step(1.0) if name == "ReduceLROnPlateau" else scheduler.step()
    before = copy.deepcopy(scheduler.state_dict())
    save_plain(tmp_path / "c", {"scheduler": scheduler})
    assert equal(restored(tmp_path / "c")["scheduler"], before)


def test_a_scaler_is_saved(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**7)
    save_plain(tmp_path / "c", {"scaler": scaler})
    assert restored(tmp_path / "c")["scaler"] == scaler.state_dict()


def test_anything_with_a_state_dict_is_saved(tmp_path):
    class Counter:
        def state_dict(self):
            return {"n": 7, "seen": {"a", "b"}}

    save_plain(tmp_path / "c", {"data": Counter()})
    assert restored(tmp_path / "c")["data"] == {"n": 7, "seen": {"a", "b"}}


def test_an_extra_state_travels_with_its_module(tmp_path):
    class Stateful(torch.nn.Linear):
        def get_extra_state(self):
            return {"calls": 3}

    save_plain(tmp_path / "c", {"model": Stateful(2, 2)})
    assert restored(tmp_path / "c")["model"]["_extra_state"] == {"calls": 3}


def test_a_module_with_a_state_dict_of_its_own_signature_is_saved(tmp_path):
    class Own(torch.nn.Linear):
        def state_dict(self):
            return {f"own.{name}": value for name, value in super().state_dict().items()}

    save_plain(tmp_path / "c", {"model": Own(2, 2)})
    assert list(restored(tmp_path / "c")["model"]) == ["own.weight", "own.bias"]


# -- averages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("buffers", [True, False])
def test_an_averaged_model_has_raw_names_and_its_count(tmp_path, buffers):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=buffers)
    average.update_parameters(model)
    save_plain(tmp_path / "c", {"model": model, "ema": average})
    ema = restored(tmp_path / "c")["ema"]
    assert list(ema["weights"]) == list(model.state_dict())
    assert ema["updates"] == 1
    assert (ema["form"], ema["prefix"]) == ("torch.optim.swa_utils.AveragedModel", "module.")


class Shadow:
    """The form of diffusers' EMAModel."""

    def __init__(self, parameters):
        self.shadow_params = [parameter.detach().clone() for parameter in parameters]

    def state_dict(self):
        return {
            "decay": 0.999, "min_decay": 0.0, "optimization_step": 12,
            "shadow_params": self.shadow_params,
        }  # fmt: skip


def test_shadow_parameters_get_the_names_of_the_model(tmp_path):
    model = a_model()
    save_plain(tmp_path / "c", {"model": model, "ema": Shadow(model.parameters())})
    ema = restored(tmp_path / "c")["ema"]
    assert list(ema["weights"]) == [name for name, _ in model.named_parameters()]
    assert (ema["updates"], ema["decay"], ema["optimization_step"]) == (12, 0.999, 12)


def test_shadow_parameters_of_the_trainable_ones_alone_get_their_names(tmp_path):
    model = a_model()
    model[0].weight.requires_grad = False
    trainable = [p for p in model.parameters() if p.requires_grad]
    save_plain(tmp_path / "c", {"model": model, "ema": Shadow(trainable)})
    assert list(restored(tmp_path / "c")["ema"]["weights"]) == ["0.bias", "1.weight", "1.bias"]


@pytest.mark.parametrize(
    "state", [{}, {"model": torch.nn.Linear(9, 9)}, {"a": a_model(), "b": a_model()}]
)
def test_shadow_parameters_that_no_one_model_explains_stay_a_list(tmp_path, state):
    save_plain(tmp_path / "c", {**state, "ema": Shadow(a_model().parameters())})
    weights = restored(tmp_path / "c")["ema"]["weights"]
    assert isinstance(weights, list)
    assert len(weights) == 4


@pytest.mark.real_library
def test_the_ema_of_diffusers_is_saved_by_name(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training_utils = pytest.importorskip("diffusers.training_utils")
        model = a_model()
        ema = training_utils.EMAModel(model.parameters(), decay=0.99)
        ema.step(model.parameters())
        save_plain(tmp_path / "c", {"model": model, "ema": ema})
    again = restored(tmp_path / "c")["ema"]
    assert list(again["weights"]) == [name for name, _ in model.named_parameters()]
    assert again["updates"] == 1
    assert again["decay"] == 0.99


# -- provenance ---------------------------------------------------------------------------------


def test_the_provenance_says_by_what_it_was_made(tmp_path):
    ckptkit.save(tmp_path / "c", {"extra": 1, "provenance": {"note": "mine", "saved": "forged"}})
    told = restored(tmp_path / "c")["provenance"]
    assert told["note"] == "mine"
    saved = told["saved"]
    assert saved["torch"] == torch.__version__
    assert saved["python"] == ".".join(map(str, sys.version_info[:3]))
    assert saved["created"].endswith("+00:00")
    assert isinstance(saved["command"], list)
    assert {"ckptkit", "numpy", "platform"} <= set(saved)
    assert "parent" not in saved


def test_the_parent_is_named_by_its_digest(tmp_path):
    first = ckptkit.save(tmp_path / "one", {"extra": 1})
    ckptkit.save(tmp_path / "two", {"extra": 1}, parent=tmp_path / "one")
    assert restored(tmp_path / "two")["provenance"]["saved"]["parent"] == first.digest


def test_provenance_can_be_left_out(tmp_path):
    save_plain(tmp_path / "c", {"extra": 1, "provenance": {"note": "mine"}})
    assert restored(tmp_path / "c")["provenance"] == {"note": "mine"}


def test_provenance_that_is_no_mapping_is_refused(tmp_path):
    with pytest.raises(UnrepresentableError, match="provenance"):
        ckptkit.save(tmp_path / "c", {"provenance": "a note"})


def test_no_path_of_the_machine_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/somebody/work/train.py", "--lr", "0.1"])
    told = surroundings.surroundings()
    assert told["command"] == ["train.py", "--lr", "0.1"]
    assert "/home" not in str(told)
    assert str(tmp_path) not in str(told)


def git(folder, *words):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_the_commit_and_its_dirtiness_are_told(tmp_path):
    git(tmp_path, "init", "-q")
    surroundings.commit_of.cache_clear()
    assert surroundings.commit_of(str(tmp_path)) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "one")
    (tmp_path / "untracked").write_text("an output of the run")
    surroundings.commit_of.cache_clear()
    told = dict(surroundings.commit_of(str(tmp_path)))
    assert len(told["commit"]) == 40
    assert told["dirty"] is False
    (tmp_path / "a").write_text("2")
    surroundings.commit_of.cache_clear()
    assert dict(surroundings.commit_of(str(tmp_path)))["dirty"] is True
    surroundings.commit_of.cache_clear()


@pytest.mark.parametrize("trouble", ["no git", "slow", "fails", "no folder"])
def test_trouble_with_git_fails_no_save(tmp_path, monkeypatch, trouble):
    surroundings.commit_of.cache_clear()
    if trouble == "no folder":
        assert surroundings.commit_of(str(tmp_path / "gone")) is None
        return
    errors = {
        "no git": FileNotFoundError("git"),
        "slow": subprocess.TimeoutExpired("git", 2),
        "fails": subprocess.CalledProcessError(128, "git"),
    }

    def run(*args, **options):
        assert options["timeout"] <= 5
        raise errors[trouble]

    monkeypatch.setattr(subprocess, "run", run)
    ckptkit.save(tmp_path / "c", {"extra": 1})
    assert "git" not in restored(tmp_path / "c")["provenance"]["saved"]
    surroundings.commit_of.cache_clear()

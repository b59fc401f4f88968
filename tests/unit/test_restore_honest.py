"""Modules that override loading are asked, those alone, and what they say enters the report."""

import warnings

import pytest
import torch
from torch import nn

import ckptkit
from ckptkit.errors import MismatchError


class Renaming(nn.Module):
    """Version 2 called its weight otherwise; it loads version 1 itself."""

    _version = 2

    def __init__(self, value=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), value))

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        if (local_metadata.get("version") or 1) < 2 and prefix + "kernel" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel") * 2
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class Counting(nn.Module):
    """Keeps something beside its tensors, and counts how often it was asked."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.extra, self.asked = None, 0

    def get_extra_state(self):
        return {"extra": self.extra, "scale": torch.tensor([2.0])}

    def set_extra_state(self, state):
        self.extra, self.asked = state["extra"], self.asked + 1


def net(inner):
    torch.manual_seed(0)
    return nn.ModuleDict({"body": nn.Linear(2, 2), "odd": inner})


def old_file(tmp_path, inner_state, version=1):
    state = net(nn.Identity()).state_dict()
    for name, value in inner_state.items():
        state[f"odd.{name}"] = value
    state._metadata["odd"] = {"version": version}
    torch.save({"state_dict": state}, tmp_path / "old.pt")
    return tmp_path / "old.pt"


def test_an_old_version_is_loaded_by_the_module_itself(tmp_path):
    path = old_file(tmp_path, {"kernel": torch.ones(3)})
    live = net(Renaming())
    report = ckptkit.restore(path, {"model": live})
    assert live["odd"].weight.tolist() == [2.0, 2.0, 2.0]
    component = report.component("model")
    assert (component.status, component.coverage.fraction) == ("restored", 1.0)
    assert any("own load_state_dict" in note and "odd" in note for note in component.notes)


def test_the_version_survives_migration_and_wrappers(tmp_path):
    path = old_file(tmp_path, {"kernel": torch.ones(3)})
    ckptkit.migrate(path, tmp_path / "new")
    for make in (nn.DataParallel, lambda m: m):
        live = net(Renaming())
        ckptkit.restore(tmp_path / "new", {"model": make(live)})
        assert live["odd"].weight.tolist() == [2.0, 2.0, 2.0]


def test_the_version_is_found_below_a_wrapper_of_the_stored_model(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": nn.DataParallel(net(Renaming(5.0)))})
    live = net(Renaming())
    ckptkit.restore(tmp_path / "x", {"model": live})
    assert live["odd"].weight.tolist() == [5.0, 5.0, 5.0]


def test_what_the_module_refuses_is_refused_before_anything_changes(tmp_path):
    path = old_file(tmp_path, {"kernel": torch.ones(4)})
    live = net(Renaming())
    before = live["body"].weight.clone()
    live["body"].weight.data.zero_()
    with pytest.raises(MismatchError, match="size mismatch"):
        ckptkit.restore(path, {"model": live})
    assert not live["body"].weight.any()
    assert before.any()


def test_names_that_it_misses_follow_the_policy(tmp_path):
    path = old_file(tmp_path, {"nonsense": torch.ones(3)})
    with pytest.raises(MismatchError, match=r"odd\.weight"):
        ckptkit.restore(path, {"model": net(Renaming())})
    report = ckptkit.restore(
        path, {"model": net(Renaming())}, allow_missing="odd.*", allow_unexpected="odd.*"
    )
    assert {line.kind for line in report.component("model").lines} == {"allowed"}


@pytest.mark.parametrize("sealed", [False, True])
def test_an_extra_state_comes_back_with_its_tensors(tmp_path, sealed):
    stored = net(Counting())
    stored["odd"].extra = {"steps": 7, "history": [1, 2]}
    path = tmp_path / ("x" if sealed else "x.pt")
    ckptkit.save(path, {"model": stored}) if sealed else torch.save(stored.state_dict(), path)
    live = net(Counting())
    ckptkit.restore(path, {"model": live})
    assert live["odd"].extra == {"steps": 7, "history": [1, 2]}
    assert live["odd"].asked == 1, "the rehearsal is done on a copy"


def test_planning_leaves_no_trace_in_the_live_module(tmp_path):
    stored = net(Counting())
    stored["odd"].extra = 5
    ckptkit.save(tmp_path / "x", {"model": stored})
    live = net(Counting())
    report = ckptkit.plan_restore(tmp_path / "x", {"model": live})
    assert report.ok
    assert (live["odd"].extra, live["odd"].asked) == (None, 0)


def test_hooks_before_loading_see_their_part_of_the_state(tmp_path):
    seen = []

    def hook(module, state_dict, prefix, *rest):
        seen.append(sorted(state_dict))
        state_dict[prefix + "weight"] = state_dict[prefix + "weight"] + 1

    stored = net(nn.Linear(2, 2, bias=False))
    nn.init.zeros_(stored["odd"].weight)
    ckptkit.save(tmp_path / "x", {"model": stored})
    live = net(nn.Linear(2, 2, bias=False))
    live["odd"].register_load_state_dict_pre_hook(hook)
    ckptkit.restore(tmp_path / "x", {"model": live})
    assert (live["odd"].weight == 1).all()
    assert all(names == ["weight"] for names in seen)


def test_hooks_that_hold_the_module_are_called_once_and_for_real_only(tmp_path):
    live = net(nn.Linear(2, 2, bias=False))
    calls = []

    def hook(module, state_dict, prefix, *rest):
        calls.append(live["odd"] is module)

    live["odd"].register_load_state_dict_pre_hook(hook)
    ckptkit.save(tmp_path / "x", {"model": net(nn.Linear(2, 2, bias=False))})
    ckptkit.plan_restore(tmp_path / "x", {"model": live})
    assert calls == []
    ckptkit.restore(tmp_path / "x", {"model": live})
    assert calls == [True]


def test_a_lazy_module_gets_its_shape_from_the_checkpoint(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": net(nn.Linear(6, 3))})
    live = net(nn.LazyLinear(3))
    report = ckptkit.restore(tmp_path / "x", {"model": live})
    assert live["odd"].weight.shape == (3, 6)
    assert torch.equal(live["odd"].weight, net(nn.Linear(6, 3))["odd"].weight)
    assert report.ok


def test_a_whole_model_that_overrides_load_state_dict_is_asked_as_a_whole(tmp_path):
    class Whole(nn.Linear):
        def load_state_dict(self, state_dict):
            return super().load_state_dict({k: v + 1 for k, v in state_dict.items()})

    stored, live = nn.Linear(2, 2), Whole(2, 2)
    ckptkit.save(tmp_path / "x", {"model": stored})
    ckptkit.restore(tmp_path / "x", {"model": live})
    assert torch.equal(live.weight, stored.weight + 1)


def test_state_hooks_that_give_other_tensors_lead_to_the_module_above_them(tmp_path):
    class Halved(nn.Module):
        """Stores half of what it has, and doubles it when loading."""

        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2, bias=False)
            self._register_state_dict_hook(self._halve)

        @staticmethod
        def _halve(module, state, prefix, metadata):
            state[prefix + "inner.weight"] = state[prefix + "inner.weight"] / 2

        def _load_from_state_dict(self, state, prefix, *rest):
            super()._load_from_state_dict(state, prefix, *rest)

    torch.manual_seed(0)
    stored = net(Halved())
    torch.save(stored.state_dict(), tmp_path / "x.pt")
    live = net(Halved())
    report = ckptkit.restore(tmp_path / "x.pt", {"model": live})
    assert torch.equal(live["odd"].inner.weight, stored["odd"].inner.weight / 2)
    assert any("odd" in note for note in report.component("model").notes)


def test_batch_norm_of_any_version_needs_nobody_to_ask(tmp_path):
    state = nn.BatchNorm1d(3).state_dict()
    state._metadata[""] = {"version": 1}
    del state["num_batches_tracked"]
    torch.save(state, tmp_path / "x.pt")
    report = ckptkit.restore(tmp_path / "x.pt", {"model": nn.BatchNorm1d(3)})
    assert not any("load_state_dict" in note for note in report.component("model").notes)
    assert [line.kind for line in report.component("model").lines] == ["defaulted"]


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_parametrizations_of_either_spelling_restore_into_either(tmp_path, name):
    torch.manual_seed(0)
    kinds = {"old": getattr(nn.utils, name), "new": getattr(nn.utils.parametrizations, name)}
    for stored_kind, store in kinds.items():
        stored = store(nn.Linear(4, 4))
        torch.save(stored.state_dict(), tmp_path / f"{stored_kind}.pt")
        for make in kinds.values():
            live = make(nn.Linear(4, 4))
            ckptkit.restore(tmp_path / f"{stored_kind}.pt", {"model": live})
            stored.eval(), live.eval()
            probe = torch.randn(2, 4)
            assert torch.allclose(stored(probe), live(probe), atol=1e-6), (stored_kind, make)


def test_quantized_parameters_are_made_by_torch(tmp_path):
    def holder(scale):
        made = nn.Module()
        value = torch.quantize_per_tensor(torch.arange(4.0), scale, 2, torch.qint8)
        made.register_buffer("q", value)
        made.w = nn.Parameter(torch.full((2,), scale))
        return made

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says once a process that it is old
        stored, live = holder(0.5), holder(0.25)
    torch.save(stored.state_dict(), tmp_path / "x.pt")
    ckptkit.restore(tmp_path / "x.pt", {"model": live})
    assert torch.equal(live.q.dequantize(), stored.q.dequantize())
    assert torch.equal(live.w, stored.w)


def test_a_sparse_parameter_comes_back(tmp_path):
    def holder(value):
        made = nn.Module()
        made.register_buffer("s", (torch.eye(3) * value).to_sparse())
        made.w = nn.Parameter(torch.full((2,), value))
        return made

    torch.save(holder(2.0).state_dict(), tmp_path / "x.pt")
    live = holder(1.0)
    ckptkit.restore(tmp_path / "x.pt", {"model": live})
    assert torch.equal(live.s.to_dense(), torch.eye(3) * 2)


class Noted(nn.Linear):
    """A layer with an extra state that is no tensor, so that its loading cannot be rehearsed."""

    def get_extra_state(self):
        return {"scale": 1.0}

    def set_extra_state(self, state):
        pass


def test_a_shape_that_a_module_of_its_own_loading_cannot_take_is_seen_before(tmp_path):
    ckptkit.save(tmp_path / "c", {"model": nn.Sequential(nn.Linear(9, 9), Noted(4, 4))})
    live = nn.Sequential(nn.Linear(9, 9), Noted(4, 5))
    before = live[0].weight.clone()
    with pytest.raises(
        MismatchError, match=r"1\.weight is \[4, 4\] in the checkpoint and \[5, 4\]"
    ):
        ckptkit.restore(tmp_path / "c", {"model": live})
    assert torch.equal(live[0].weight, before)


def test_casts_of_modules_that_load_themselves_are_told_and_may_be_refused(tmp_path):
    ckptkit.save(tmp_path / "c", {"model": net(Noted(2, 2))})
    live = net(Noted(2, 2)).half()
    with pytest.raises(MismatchError, match="another dtype"):
        ckptkit.restore(tmp_path / "c", {"model": live}, cast="error")
    report = ckptkit.restore(tmp_path / "c", {"model": live})
    cast = {line.name for line in report.component("model").lines if line.kind == "cast"}
    assert cast == {"body.weight", "body.bias", "odd.weight", "odd.bias"}

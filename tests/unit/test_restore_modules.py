"""Modules are filled in place: any nesting of wrappers, dtype, stride, tie, device and shape."""

import pytest
import torch
from torch import nn

import ckptkit
from ckptkit.errors import CoverageError, MismatchError


def net(width=4, *, bias=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, width, bias=bias), nn.BatchNorm1d(width), nn.Linear(width, 2))


def changed(module):
    """The same kind of module, with other values everywhere."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.copy_(torch.full_like(tensor, 7))
    return module


def equal(left, right):
    one, other = left.state_dict(), right.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def path(tmp_path):
    ckptkit.save(tmp_path / "sealed", {"model": net()})
    return tmp_path / "sealed"


def test_every_bit_comes_back_into_the_same_memory(path):
    model = changed(net())
    before = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    objects = {name: id(parameter) for name, parameter in model.named_parameters()}
    report = ckptkit.restore(path, {"model": model})
    assert equal(model, net())
    assert {n: t.data_ptr() for n, t in model.state_dict().items()} == before
    assert {n: id(p) for n, p in model.named_parameters()} == objects
    component = report.component("model")
    assert (component.status, component.kind, component.source) == ("restored", "module", "model")
    assert component.coverage.fraction == 1.0
    assert report.ok
    assert not component.lines


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_torch_save_restores_as_load_state_dict_would(tmp_path, legacy):
    file = tmp_path / "x.pt"
    options = {"_use_new_zipfile_serialization": False} if legacy else {}
    torch.save({"model_state_dict": net().state_dict(), "epoch": 3}, file, **options)
    model = changed(net())
    report = ckptkit.restore(file, {"model": model})
    assert equal(model, net())
    assert report.schema_version == 1
    assert report.migrated
    assert dict(report.left).keys() == {"progress"}
    told = "no checksums" if legacy else "CRC-32"
    assert any(told in note for note in report.notes)


def test_a_migrated_folder_restores(tmp_path):
    torch.save(net().state_dict(), tmp_path / "x.pt")
    ckptkit.migrate(tmp_path / "x.pt", tmp_path / "x.v2")
    model = changed(net())
    ckptkit.restore(tmp_path / "x.v2", {"model": model})
    assert equal(model, net())


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch.compile's own import
@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.compile,
        lambda m: torch.compile(nn.DataParallel(m)),
        lambda m: nn.DataParallel(torch.compile(m)),
    ],
)
def test_wrappers_are_undone_on_both_sides(tmp_path, wrap):
    ckptkit.save(tmp_path / "plain", {"model": net()})
    ckptkit.save(tmp_path / "wrapped", {"model": wrap(net())})
    torch.save(wrap(net()).state_dict(), tmp_path / "wrapped.pt")
    for source in ("plain", "wrapped", "wrapped.pt"):
        for make in (lambda m: m, wrap):
            inner = changed(net())
            ckptkit.restore(tmp_path / source, {"model": make(inner)})
            assert equal(inner, net())


def test_another_dtype_is_converted_and_reported(path):
    model = changed(net()).bfloat16()
    report = ckptkit.restore(path, {"model": model})
    assert torch.equal(model[0].weight, net()[0].weight.bfloat16())
    assert {line.kind for line in report.component("model").lines} == {"cast"}
    with pytest.raises(MismatchError, match="float32 to bfloat16"):
        ckptkit.restore(path, {"model": model}, cast="error")


def test_strides_of_the_live_model_stay_whatever_those_of_the_file_were(tmp_path):
    torch.manual_seed(0)
    stored = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    torch.save(stored.state_dict(), tmp_path / "x.pt")
    ckptkit.save(tmp_path / "x", {"model": stored})
    for source in ("x.pt", "x"):
        for layout in (torch.contiguous_format, torch.channels_last):
            live = changed(nn.Conv2d(3, 8, 3).to(memory_format=layout))
            strides = live.weight.stride()
            ckptkit.restore(tmp_path / source, {"model": live})
            assert torch.equal(live.weight, stored.weight)
            assert live.weight.stride() == strides


def test_large_tensors_of_odd_strides_are_copied_in_blocks(tmp_path):
    weight = torch.arange(3 * 700 * 1000, dtype=torch.float32).reshape(3, 700, 1000)
    torch.save({"w": weight.transpose(0, 2)}, tmp_path / "x.pt")
    holder = nn.Module()
    holder.w = nn.Parameter(torch.zeros(700, 3, 1000).permute(2, 0, 1).double())
    ckptkit.restore(tmp_path / "x.pt", {"model": holder})
    assert torch.equal(holder.w, weight.transpose(0, 2).double())


def test_ties_are_filled_once_and_stay_tied(tmp_path):
    def tied():
        torch.manual_seed(1)
        model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
        model["head"].weight = model["embed"].weight
        return model

    ckptkit.save(tmp_path / "x", {"model": tied()})
    live = changed(tied())
    ckptkit.restore(tmp_path / "x", {"model": live})
    assert live["head"].weight is live["embed"].weight
    assert equal(live, tied())
    apart = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    ckptkit.restore(tmp_path / "x", {"model": apart})
    assert torch.equal(apart["head"].weight, tied()["head"].weight)
    assert apart["head"].weight is not apart["embed"].weight


def test_what_was_stored_apart_and_is_tied_now_takes_the_last_and_says_so(tmp_path):
    apart = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    ckptkit.save(tmp_path / "x", {"model": apart})
    torch.save(apart.state_dict(), tmp_path / "x.pt")
    live = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    live["b"].weight = live["a"].weight
    for source in ("x", "x.pt"):
        report = ckptkit.restore(tmp_path / source, {"model": live})
        assert torch.equal(live["a"].weight, apart["b"].weight)
        assert any("b.weight are taken" in note for note in report.component("model").notes)


def test_nothing_is_changed_when_anything_does_not_fit(path):
    model = changed(net(width=5))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(
        MismatchError, match=r"\[4, 3\] in the file, \[5, 3\] in the model"
    ) as caught:
        ckptkit.restore(path, {"model": model})
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert caught.value.report.component("model").status == "refused"
    assert str(caught.value.report) in str(caught.value)
    assert caught.value.exit_code == 36


def test_all_mismatches_are_in_one_error(path):
    live = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(4), nn.Linear(4, 2), nn.Linear(2, 9))
    with pytest.raises(MismatchError) as caught:
        ckptkit.restore(path, {"model": live})
    told = str(caught.value)
    assert "0.weight" in told
    assert "3.weight" in told or "3.{" in told


def test_shapes_may_be_skipped_sliced_or_made_to_fit(path):
    wide = changed(net(width=6))
    report = ckptkit.restore(path, {"model": wide}, on_shape="skip", min_coverage=0)
    assert torch.equal(wide[2].bias, net()[2].bias)
    assert (wide[0].weight == 7).all()
    assert "skipped" in {line.kind for line in report.component("model").lines}

    wide = changed(net(width=6))
    ckptkit.restore(path, {"model": wide}, on_shape="slice")
    assert torch.equal(wide[0].weight[:4], net()[0].weight)
    assert (wide[0].weight[4:] == 7).all()
    assert torch.equal(wide[2].weight[:, :4], net()[2].weight)

    seen = []

    def grow(name, stored, live):
        seen.append((name, tuple(stored.shape), tuple(live.shape)))
        made = torch.zeros_like(live)
        made[tuple(slice(0, n) for n in stored.shape)] = stored
        return made

    wide = changed(net(width=6))
    ckptkit.restore(path, {"model": wide}, on_shape=grow)
    assert ("0.weight", (4, 3), (6, 3)) in seen
    assert (wide[0].weight[4:] == 0).all()
    assert torch.equal(wide[0].weight[:4], net()[0].weight)


def test_a_function_that_makes_another_shape_is_told_with_what_became_of_the_model(path):
    with pytest.raises(MismatchError, match="partly filled"):
        ckptkit.restore(path, {"model": net(width=6)}, on_shape=lambda name, stored, live: stored)


def test_missing_and_unexpected_need_leave_and_are_told(path):
    longer = changed(nn.Sequential(*net(), nn.Linear(2, 2)))
    with pytest.raises(MismatchError, match=r"3\."):
        ckptkit.restore(path, {"model": longer})
    report = ckptkit.restore(path, {"model": longer}, allow_missing=("3.*",))
    assert report.component("model").status == "partly"
    assert (longer[3].weight == 7).all()
    shorter = nn.Sequential(*list(net())[:2])
    with pytest.raises(MismatchError):
        ckptkit.restore(path, {"model": shorter})
    ckptkit.restore(path, {"model": changed(shorter)}, allow_unexpected="2.*")
    assert torch.equal(shorter[0].weight, net()[0].weight)


def test_loading_nothing_is_an_error_whatever_is_allowed(path):
    stranger = nn.ModuleDict({"other": nn.Conv2d(1, 1, 1)})
    with pytest.raises(CoverageError, match="nothing would be loaded") as caught:
        ckptkit.restore(
            path, {"model": stranger}, allow_missing=True, allow_unexpected=True, min_coverage=0
        )
    assert caught.value.exit_code == 37


def test_renames_are_rules_or_exact(path):
    live = nn.ModuleDict(
        {"first": changed(net())[0], "norm": nn.BatchNorm1d(4), "last": nn.Linear(4, 2)}
    )
    rules = [(r"^0\.", "first."), (r"^1\.", "norm."), (r"^2\.", "last.")]
    report = ckptkit.restore(path, {"model": live}, rename=rules)
    assert torch.equal(live["first"].weight, net()[0].weight)
    assert {line.kind for line in report.component("model").lines} == {"renamed"}


def test_requires_grad_stays_and_autograd_hears_of_the_change(path):
    model = changed(net())
    model[0].weight.requires_grad_(False)
    version = model[0].weight._version
    loss = model[2](torch.ones(1, 4, requires_grad=True)).sum()
    ckptkit.restore(path, {"model": model})
    assert not model[0].weight.requires_grad
    assert model[2].weight.requires_grad
    assert model[0].weight._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_pruned_weight_fills_a_plain_one_as_a_product(tmp_path):
    from torch.nn.utils import prune

    torch.manual_seed(0)
    pruned = nn.Linear(8, 8)
    prune.random_unstructured(pruned, "weight", amount=0.5)
    ckptkit.save(tmp_path / "x", {"model": pruned})
    live = changed(nn.Linear(8, 8))
    report = ckptkit.restore(tmp_path / "x", {"model": live})
    assert torch.equal(live.weight, pruned.weight_orig * pruned.weight_mask)
    assert "computed" in {line.kind for line in report.component("model").lines}


def test_empty_tensors_and_scalars_are_no_trouble(tmp_path):
    def module(fill):
        made = nn.Module()
        made.register_buffer("none", torch.empty(0, 3))
        made.register_buffer("one", torch.tensor(fill))
        made.w = nn.Parameter(torch.full((2,), fill))
        return made

    ckptkit.save(tmp_path / "x", {"model": module(1.0)})
    live = module(2.0)
    ckptkit.restore(tmp_path / "x", {"model": live})
    assert equal(live, module(1.0))


def test_progress_counts_every_byte_once(path):
    counted = []
    ckptkit.restore(path, {"model": changed(net())}, progress=counted.append)
    total = sum(t.numel() * t.element_size() for t in net().state_dict().values())
    assert sum(counted) == total


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", "again"), ("use", "best"), ("on_shape", "stretch"), ("on_conflict", "me"),
        ("min_coverage", 50), ("cast", "always"), ("on_conflict", {"lr": "mine"}),
    ],
)  # fmt: skip
def test_a_word_that_is_none_is_refused_by_name(path, option, value):
    with pytest.raises(ValueError, match=option):
        ckptkit.restore(path, {"model": net()}, **{option: value})


def test_an_open_checkpoint_restores_and_stays_open(path):
    with ckptkit.load(path) as checkpoint:
        ckptkit.restore(checkpoint, {"model": changed(net())})
        model = changed(net())
        ckptkit.restore(checkpoint, {"model": model})
    assert equal(model, net())


def test_the_options_of_both_verbs_are_the_same():
    import inspect

    from ckptkit.verbs.restoring.asked_for import RestoreOptions

    options = {
        name for name, parameter in inspect.signature(ckptkit.restore).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }  # fmt: skip
    assert options == set(RestoreOptions.__annotations__)


def test_a_name_that_is_spelled_twice_in_the_checkpoint_is_told(tmp_path):
    nested = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    ckptkit.save(tmp_path / "c", {"model": {"a": nested, "a.weight": torch.zeros(2, 2)}})
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2)})
    with pytest.raises(MismatchError, match=r"no place: a\.weight \(2\)"):
        ckptkit.restore(tmp_path / "c", {"model": model})
    ckptkit.restore(tmp_path / "c", {"model": model}, allow_unexpected="a.weight (2)")
    assert not model["a"].weight.any()


def test_a_buffer_that_nothing_can_be_copied_into_is_refused_before_anything_is_touched(tmp_path):
    def made():
        model = net()
        model.register_buffer("scales", torch.ones(1).expand(4))
        return model

    ckptkit.save(tmp_path / "c", {"model": made()})
    model = made()
    changed(model[0])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(MismatchError, match=r"share one place in memory.*scales"):
        ckptkit.restore(tmp_path / "c", {"model": model})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

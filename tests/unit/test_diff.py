"""What `diff` promises: every difference by name, nothing read that a digest has settled."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ckptkit.containers.bytesource import FileBytes
from ckptkit.errors import ChecksumError, MismatchError
from ckptkit.nodes import MapNode, SeqNode
from ckptkit.verbs.diff import DiffOptions, diff
from ckptkit.verbs.diffing import figures, numbers
from ckptkit.verbs.diffing.leaves import section_leaves, with_parameter_names
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load


def state():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.randn(8, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
        "config": {"lr": 1e-3, "betas": (0.9, 0.99)}, "history": {"loss": [1.0, 0.5, 0.25] * 10},
    }  # fmt: skip


@pytest.fixture
def save(tmp_path):
    def write(name, value):
        torch.save(value, tmp_path / name)
        return tmp_path / name

    return write


def rows(report, kind):
    return [row for row in report.rows if row.kind == kind]


def test_a_file_is_the_same_as_itself_and_as_its_sealed_folder(save, tmp_path):
    path = save("a.pt", state())
    sealed = migrate(path, tmp_path / "sealed").target
    for other in (path, sealed):
        for options in (None, DiffOptions(verify=True), DiffOptions(values=False)):
            report = diff(path, other, options)
            assert report.same, (report.counts, report.settings)
    assert diff(path, sealed).counts == {"equal": 16}
    assert diff(path, sealed).n_settings == 20


def test_two_sealed_folders_are_compared_without_reading_a_tensor(save, tmp_path, monkeypatch):
    first = state()
    one = migrate(save("a.pt", first), tmp_path / "a").target
    first["model"]["0.weight"] = first["model"]["0.weight"] + 1
    other = migrate(save("b.pt", first), tmp_path / "b").target
    read = []
    real = FileBytes.read_into

    def counted(self, offset, out):
        read.append(out.nbytes)
        real(self, offset, out)

    monkeypatch.setattr(FileBytes, "read_into", counted)
    report = diff(one, other)
    assert report.counts == {"values": 1, "equal": 15}
    assert sum(read) <= 2 * 12 * 4  # the one that differs, on both sides


def test_a_recorded_digest_is_doubted_on_request(save, tmp_path):
    sealed = migrate(save("a.pt", state()), tmp_path / "a").target
    file = sealed / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert diff(sealed, tmp_path / "a.pt").same
    with pytest.raises(ChecksumError, match="model/"):
        diff(sealed, tmp_path / "a.pt", DiffOptions(verify=True))


def test_shape_dtype_and_lone_tensors_are_told_apart(save):
    one, other = state(), state()
    other["model"]["0.weight"] = torch.zeros(5, 3)
    other["model"]["0.bias"] = other["model"]["0.bias"].double()
    del other["model"]["1.bias"]
    other["model"]["2.bias"] = torch.full((7,), 9.0)
    report = diff(save("a.pt", one), save("b.pt", other))
    assert report.counts == {"shape": 1, "only-a": 1, "only-b": 1, "dtype": 1, "equal": 13}
    [dtype] = rows(report, "dtype")
    assert (dtype.a.dtype, dtype.b.dtype, dtype.figures.n_different) == ("float32", "float64", 0)
    assert rows(report, "only-b")[0].b.shape == (7,)
    assert not report.same


def test_figures_are_those_of_numpy(save):
    torch.manual_seed(1)
    one, other = torch.randn(5000), torch.randn(5000)
    report = diff(save("a.pt", {"w": one}), save("b.pt", {"w": other}))
    [row] = rows(report, "values")
    a, b = one.double().numpy(), other.double().numpy()
    assert row.figures.max_abs == np.abs(a - b).max()
    assert row.figures.relative_l2 == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))
    assert row.figures.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert row.figures.n_different == 5000


def test_nan_and_infinity_are_counted_and_no_figure_is_spoilt(save):
    nan, inf = math.nan, math.inf
    one = torch.tensor([1.0, nan, inf, 2.0, nan, inf])
    other = torch.tensor([1.0, nan, inf, 3.0, 5.0, -inf])
    report = diff(save("a.pt", {"w": one}), save("b.pt", {"w": other}))
    found = rows(report, "values")[0].figures
    assert (found.n_nan, found.n_inf, found.n_different) == ((2, 1), (2, 2), 3)
    assert found.max_abs == 1.0
    assert found.relative_l2 == pytest.approx(math.sqrt(1 / 5))


def test_signed_zeros_and_nan_payloads_differ_in_bits_alone(save):
    one = torch.tensor([0.0, math.nan])
    other = (
        torch.tensor([0x80000000, 0x7FC00001], dtype=torch.int64)
        .to(torch.uint32)
        .view(torch.float32)
    )
    report = diff(save("a.pt", {"w": one}), save("b.pt", {"w": other}))
    found = rows(report, "values")[0].figures
    assert (found.n_different, found.max_abs, found.is_close) == (0, 0.0, True)


def test_integers_beyond_the_precision_of_a_float_are_told_apart(save):
    big = 1 << 60
    for dtype in (torch.int64, torch.uint64):
        one, other = (torch.tensor([big + d, 5], dtype=dtype) for d in (0, 3))
        report = diff(save("a.pt", {"w": one}), save("b.pt", {"w": other}))
        assert rows(report, "values")[0].figures.max_abs == 3.0
    low, high = torch.tensor([-(1 << 63)]), torch.tensor([(1 << 63) - 1])
    report = diff(save("a.pt", {"w": low}), save("b.pt", {"w": high}))
    assert rows(report, "values")[0].figures.max_abs == float(2**64 - 1)


def test_huge_and_tiny_numbers_overflow_no_square(save):
    for scale in (1e300, 1e-300):
        one = torch.tensor([3.0, 4.0], dtype=torch.float64) * scale
        other = torch.tensor([3.0, 5.0], dtype=torch.float64) * scale
        report = diff(save("a.pt", {"w": one}), save("b.pt", {"w": other}))
        assert rows(report, "values")[0].figures.relative_l2 == pytest.approx(0.2)


DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.complex32,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64,
)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_without_numpy_every_figure_is_the_same(save, monkeypatch, dtype):
    generator = torch.Generator().manual_seed(3)
    raw = [torch.randint(0, 256, (64, 16), dtype=torch.uint8, generator=generator) for _ in "ab"]
    if dtype is torch.bool:
        raw = [one & 1 for one in raw]
    one, other = (x.view(-1)[: 64 * dtype.itemsize].view(dtype) for x in raw)
    paths = save("a.pt", {"w": one}), save("b.pt", {"w": other})
    fast = rows(diff(*paths), "values")[0].figures
    monkeypatch.setattr(figures, "has_numpy", lambda: False)
    monkeypatch.setattr(numbers, "has_numpy", lambda: False)
    slow = rows(diff(*paths), "values")[0].figures
    assert slow[:3] == fast[:3]
    assert slow[5:] == fast[5:]
    assert slow.relative_l2 == pytest.approx(fast.relative_l2, rel=1e-12)
    assert slow.cosine == pytest.approx(fast.cosine, rel=1e-9, abs=1e-15)


def test_chunks_do_not_change_a_figure(save, monkeypatch):
    one, other = torch.randn(1000), torch.randn(1000)
    paths = save("a.pt", {"w": one}), save("b.pt", {"w": other})
    whole = rows(diff(*paths), "values")[0].figures
    monkeypatch.setattr(figures, "CHUNK_NUMEL", 7)
    parts = rows(diff(*paths), "values")[0].figures
    assert parts.n_different == whole.n_different
    assert parts.relative_l2 == pytest.approx(whole.relative_l2)
    assert parts.cosine == pytest.approx(whole.cosine)


def test_close_enough_is_the_same_when_asked_for(save):
    one = {"w": torch.ones(4), "n": torch.arange(3)}
    other = {"w": torch.ones(4) * 1.0001, "n": torch.arange(3)}
    paths = save("a.pt", one), save("b.pt", other)
    assert not diff(*paths).same
    assert diff(*paths, DiffOptions(rtol=1e-3)).counts == {"close": 1, "equal": 1}
    assert diff(*paths, DiffOptions(atol=1e-3)).same
    assert not diff(*paths, DiffOptions(rtol=1e-6)).same
    other["w"][0] = math.nan
    assert not diff(paths[0], save("b.pt", other), DiffOptions(rtol=1e9)).same


def test_renamed_tensors_are_recognised_by_their_bytes(save):
    weights = {f"{i}.weight": torch.randn(3, 3) for i in range(4)}
    weights |= {f"{i}.bias": torch.zeros(3) for i in range(4)}  # alike: only names tell them apart
    for prefix in ("model.", "net.backbone."):
        report = diff(
            save("a.pt", weights), save("b.pt", {prefix + k: v for k, v in weights.items()})
        )
        assert report.counts == {"renamed": 8}
        assert all(row.b.name == prefix + row.a.name for row in report.rows)


def test_names_that_differ_by_a_prefix_are_compared_though_their_values_differ(save):
    weights = {f"{i}.weight": torch.randn(3, 3) for i in range(4)}
    other = {f"net.{name}": value + 1 for name, value in weights.items()}
    for paths in (
        (save("a.pt", weights), save("b.pt", other)),
        (save("a.pt", other), save("b.pt", weights)),
    ):
        report = diff(*paths)
        assert report.counts == {"values": 4}
        assert {row.a.name.removeprefix("net.") for row in report.rows} == set(weights)


def test_a_number_that_many_tensors_share_renames_nothing(save):
    one = {"a.count": torch.tensor(3), "w": torch.randn(3)}
    other = {"b.total": torch.tensor(3), "w": one["w"]}
    assert diff(save("a.pt", one), save("b.pt", other)).counts == {
        "only-a": 1,
        "only-b": 1,
        "equal": 1,
    }


def test_averaged_weights_that_became_the_raw_ones_are_seen(save):
    raw = {f"{i}.weight": torch.randn(3, 3) for i in range(4)}
    averaged = {name: value + 1 for name, value in raw.items()}
    one = save("a.pt", {"model": raw, "model_ema": averaged, "epoch": 1})
    other = save("b.pt", averaged)
    report = diff(one, other, DiffOptions(sections=("model", "ema")))
    assert report.counts == {"only-a": 4, "values": 4}
    assert rows(report, "only-a")[0].twin.startswith("model/")
    assert rows(report, "values")[0].twin.startswith("ema/weights/")
    assert any("4 tensors of A's ema lie in B's model" in note.message for note in report.notices)


def test_settings_are_compared_place_by_place(save):
    one, other = state(), state()
    other["epoch"] = 4
    other["config"] = {"lr": 2e-3, "betas": [0.9, 0.99], "new": None}
    other["history"]["loss"].append(0.1)
    other["optimizer"]["param_groups"][0]["lr"] = 5e-4
    report = diff(save("a.pt", one), save("b.pt", other))
    told = {f"{row.section}/{row.name}": row for row in report.settings}
    assert set(told) == {
        "config/lr", "config/new", "history/loss", "optimizer/param_groups/0/lr",
        "progress/as_stored/epoch",
    }  # fmt: skip
    assert told["config/new"].kind == "only-b"
    assert (told["config/lr"].a, told["config/lr"].b) == (1e-3, 2e-3)


def test_attributes_count_only_where_both_have_them(save):
    plain = state()
    bare = dict(plain["model"].items())
    report = diff(save("a.pt", plain["model"]), save("b.pt", bare))
    assert report.same
    assert any(note.code == "lone-attributes" for note in report.notices)
    changed = OrderedDict(plain["model"])
    changed._metadata = {**plain["model"]._metadata, "0": {"version": 7}}
    assert not diff(save("a.pt", plain["model"]), save("b.pt", changed)).same


def test_optimizer_state_follows_names_where_both_know_them():
    def optimizer(order):
        names = SeqNode(list(order))
        group = MapNode({"lr": 0.1, "params": SeqNode(list(range(len(order))))})
        slots = {i: MapNode({"step": ord(name)}) for i, name in enumerate(order)}
        return MapNode([
            ("state", MapNode(slots.items())), ("param_groups", SeqNode([group])),
            ("parameters", MapNode({"names": names})),
        ])  # fmt: skip

    def leaves(node):
        return {leaf.key: leaf.node for leaf in section_leaves("optimizer", node, 1000)}

    one, other = with_parameter_names("optimizer", optimizer("abc"), optimizer("cab"))
    ours, theirs = leaves(one), leaves(other)
    assert ours.keys() == theirs.keys()
    assert ours["optimizer", "state", "b", "step"] == theirs["optimizer", "state", "b", "step"]
    unnamed = MapNode([pair for pair in optimizer("abc").items() if pair[0] != "parameters"])
    one, other = with_parameter_names("optimizer", optimizer("cab"), unnamed)
    assert leaves(one).keys() == leaves(other).keys()


def test_sections_can_be_chosen_and_must_exist(save):
    one, other = state(), state()
    other["model"]["0.weight"] = torch.zeros(4, 3)
    paths = save("a.pt", one), save("b.pt", other)
    assert diff(*paths, DiffOptions(sections=("optimizer", "config"))).same
    assert not diff(*paths, DiffOptions(sections=("model",))).same
    with pytest.raises(MismatchError, match="one of model, optimizer"):
        diff(*paths, DiffOptions(sections=("ema",)))


def test_the_origin_counts_only_when_it_is_asked_for(save, tmp_path):
    one, other = (migrate(save(f"{n}.pt", state()), tmp_path / n).target for n in "ab")
    assert diff(one, other).same
    assert not diff(one, other, DiffOptions(sections=("provenance",))).same


def test_side_files_are_compared_by_their_bytes(tmp_path):
    for name, vocab in (("a", b"x"), ("b", b"y")):
        (tmp_path / name).mkdir()
        save_file({"w": torch.ones(2)}, tmp_path / name / "model.safetensors")
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "vocab.txt").write_bytes(vocab)
    report = diff(tmp_path / "a", tmp_path / "b")
    assert {row.a.place for row in report.differing} >= {"files/vocab.txt"}
    assert all("vocab" in row.a.name for row in report.differing)
    sealed = migrate(tmp_path / "a", tmp_path / "sealed").target
    assert diff(tmp_path / "a", sealed, DiffOptions(verify=True)).same


def test_an_alias_equals_a_copy_and_a_cycle_ends(save):
    inner = {"x": [1, {"y": 2}]}
    cyclic = {"a": 1}
    cyclic["self"] = cyclic
    report = diff(
        save("a.pt", {"model": {"w": torch.ones(1)}, "c": {"p": inner, "q": inner}, "z": cyclic}),
        save(
            "b.pt",
            {
                "model": {"w": torch.ones(1)},
                "c": {"p": inner, "q": {"x": [1, {"y": 2}]}},
                "z": cyclic,
            },
        ),
    )
    assert report.same, report.settings


def test_many_aliases_of_aliases_do_not_explode(save):
    node = {"x": 1}
    for _ in range(60):
        node = {"a": node, "b": node}
    path = save("a.pt", {"model": {"w": torch.ones(1)}, "bomb": node})
    with load(path) as checkpoint:
        leaves = section_leaves("extra", checkpoint.document["extra"], 1000)
        assert sum(1 for _ in leaves) < 3000
    assert diff(path, path).same


def test_ties_that_one_side_alone_has_are_told_and_differ_in_no_value(save):
    weight = torch.ones(3, 3)
    tied = save("a.pt", {"model": {"a": weight, "b": weight, "c": torch.zeros(3)}, "epoch": 1})
    apart = save("b.pt", {"model": {"a": weight, "b": weight.clone(), "c": torch.zeros(3)}, "epoch": 1})  # fmt: skip
    for one, other, letters in ((tied, apart, "A, not in B"), (apart, tied, "B, not in A")):
        report = diff(one, other)
        assert report.same
        assert [notice.message for notice in report.notices] == [
            f"model/a, model/b: one memory in {letters}"
        ]
    assert not diff(tied, tied).notices

"""Sections are led from version to version; averages and optimizers follow; nothing goes silently."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

import ckptkit  # noqa: E402
from ckptkit.algebra import (  # noqa: E402
    Cast,
    Concat,
    Custom,
    Drop,
    Fill,
    Pad,
    Rename,
    SectionMigrator,
    Slice,
    Split,
    Transpose,
    migrator,
)
from ckptkit.errors import ChecksumError, MigrationError, NewerSchemaError  # noqa: E402
from ckptkit.hooks import manager  # noqa: E402
from ckptkit.nodes import MapNode, TensorNode  # noqa: E402
from ckptkit.torch_bridge.revive import revive  # noqa: E402
from ckptkit.tree import to_node  # noqa: E402
from ckptkit.verbs.evolving.asked import Versions  # noqa: E402
from ckptkit.verbs.section_migration import migrate_sections  # noqa: E402


def way(start, *operations, section="model", trainer="gpt"):
    return SectionMigrator(
        trainer=trainer,
        section=section,
        start=start,
        stop=start + 1,
        title=f"way {start}",
        operations=operations,
    )


def trained(optimizer_of=torch.optim.AdamW, bias=True):
    model = torch.nn.Sequential(torch.nn.Linear(4, 6, bias=bias), torch.nn.Linear(6, 2, bias=bias))
    optimizer = optimizer_of(model.parameters(), lr=0.1)
    for _ in range(2):
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
    return model, optimizer


def saved(tmp_path, state, **options):
    path = tmp_path / "old"
    ckptkit.save(path, state, **options)
    return ckptkit.load(path)


def migrated(checkpoint, *migrators, to=None):
    versions = {entry.name: entry.version for entry in checkpoint.sealed.manifest.sections}
    return migrate_sections(checkpoint.document, "gpt", versions, migrators, to)


def kept_of(optimizer_node):
    """name -> state, revived."""
    names = optimizer_node["parameters"]["names"].items
    state = revive(optimizer_node["state"])
    assert optimizer_node["param_groups"].items[0]["params"].items == list(range(len(names)))
    return {name: state.get(number) for number, name in enumerate(names)}


# -- what follows -----------------------------------------------------------------------------------

STRUCTURAL = [
    Split("0.weight", ("a.weight", "b.weight")),
    Pad("0.weight", ((0, 3),), 7.0),
    Transpose("0.weight"),
    Slice("0.weight", ((1, 4),)),
    Rename({r"0.(.*)": r"first.\1"}),
    Cast("0.weight", "float16"),
]


@pytest.mark.parametrize("operation", STRUCTURAL, ids=lambda one: type(one).__name__)
def test_the_state_of_the_optimizer_goes_the_way_of_its_parameter(tmp_path, operation):
    model, optimizer = trained()
    checkpoint = saved(tmp_path, {"model": model, "optimizer": optimizer}, trainer="gpt")
    done = migrated(checkpoint, way(1, operation))
    before, after = kept_of(checkpoint.document["optimizer"]), kept_of(done.document["optimizer"])
    alike = operation if not isinstance(operation, Pad) else Pad(operation.name, operation.amounts)
    alike = None if isinstance(operation, Cast) else alike
    for key in ("exp_avg", "exp_avg_sq"):
        nodes = {n: checkpoint.document["optimizer"]["state"][i][key] for i, n in enumerate(before)}
        expected = alike.apply(nodes).state if alike else nodes
        assert set(after) == set(expected)
        for name, state in after.items():
            assert torch.equal(state[key], revive(expected[name])), name
    assert all(state["step"] == 2 for state in after.values())
    shapes = [tuple(one.items) for one in done.document["optimizer"]["parameters"]["shapes"].items]
    assert shapes == [done.document["model"][name].shape for name in after]


def test_counters_of_the_parts_do_not_count_as_one(tmp_path):
    model, optimizer = trained()
    checkpoint = saved(tmp_path, {"model": model, "optimizer": optimizer})
    done = migrated(checkpoint, way(1, Split("0.weight", ("a", "b"))))
    state = kept_of(done.document["optimizer"])
    state["a"]["step"] += 1
    assert (state["a"]["step"], state["b"]["step"]) == (3, 2)


def test_parts_that_disagree_lose_their_state_and_it_is_told(tmp_path):
    model, optimizer = trained(bias=False)
    optimizer.state[model[0].weight]["step"] += 1
    checkpoint = saved(tmp_path, {"model": model, "optimizer": optimizer})
    operations = (
        Transpose("1.weight"),
        Pad("1.weight", ((0, 0), (0, 2))),
        Concat(("0.weight", "1.weight"), "w", one_way=True),
    )
    done = migrated(checkpoint, way(1, *operations))
    assert kept_of(done.document["optimizer"]) == {"w": None}
    told = [line for line in done.lines["optimizer"] if line.kind == "dropped"]
    assert [line.name for line in told] == ["w"]
    assert "step" in told[0].detail
    assert "differs between the parts" in told[0].detail


def test_a_part_that_was_frozen_takes_the_state_of_the_other_with_it_and_it_is_told(tmp_path):
    model, _ = trained(bias=False)
    optimizer = torch.optim.SGD([model[0].weight], lr=0.1, momentum=0.9)
    optimizer.step()
    checkpoint = saved(tmp_path, {"model": model, "optimizer": optimizer})
    operations = Transpose("1.weight"), Concat(("0.weight", "1.weight"), "w", one_way=True)
    with pytest.raises(MigrationError, match=r"shapes \[6, 4\] and \[6, 2\]"):
        migrated(checkpoint, way(1, *operations))
    done = migrated(
        checkpoint,
        way(1, operations[0], Concat(("0.weight", "1.weight"), "w", axis=1, sizes=(2, 1))),
    )
    assert kept_of(done.document["optimizer"]) == {"w": None}
    assert "only some of its parts were trained" in done.lines["optimizer"][0].detail


def test_state_that_has_not_the_parameters_shape_is_dropped_and_told(tmp_path):
    model, optimizer = trained(bias=False)
    for state in optimizer.state.values():
        state["row"] = torch.ones(6)
    checkpoint = saved(tmp_path, {"model": model, "optimizer": optimizer})
    done = migrated(checkpoint, way(1, Split("0.weight", ("a", "b"))))
    state = kept_of(done.document["optimizer"])
    assert (state["a"], state["b"]) == (None, None)
    assert state["1.weight"]["row"].tolist() == [1.0] * 6
    assert (
        "row of 0.weight is [6], not of the parameter's shape" in done.lines["optimizer"][0].detail
    )


def test_a_new_parameter_begins_fresh_and_a_dropped_one_takes_its_state_along(tmp_path):
    model, optimizer = trained()
    checkpoint = saved(tmp_path, {"model": model, "optimizer": optimizer})
    done = migrated(checkpoint, way(1, Fill("2.weight", (3, 3)), Drop("1.bias")))
    assert list(kept_of(done.document["optimizer"])) == ["0.weight", "0.bias", "1.weight"]
    assert ("dropped", "1.bias") in {(line.kind, line.name) for line in done.lines["optimizer"]}
    assert ("dropped", "1.bias") in {(line.kind, line.name) for line in done.lines["model"]}


def test_groups_keep_their_settings_and_their_members(tmp_path):
    model, _ = trained()
    groups = [
        {"params": [model[0].weight, model[1].weight], "weight_decay": 0.5},
        {"params": [model[0].bias, model[1].bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    optimizer.step()
    checkpoint = saved(tmp_path, {"model": model, "optimizer": optimizer})
    done = migrated(checkpoint, way(1, Split(r"0.(weight|bias)", (r"a.\1", r"b.\1"))))
    found = done.document["optimizer"]
    assert [group["params"].items for group in found["param_groups"].items] == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    assert [group["weight_decay"] for group in found["param_groups"].items] == [0.5, 0.0]
    assert found["parameters"]["names"].items == [
        "a.weight",
        "b.weight",
        "1.weight",
        "a.bias",
        "b.bias",
        "1.bias",
    ]


def test_averages_follow_the_model_though_they_lack_its_buffers(tmp_path):
    state = {"w": torch.ones(4, 2), "mask": torch.zeros(3)}
    ema = {"weights": {"w": torch.full((4, 2), 2.0)}, "updates": 5, "decay": 0.9}
    checkpoint = saved(tmp_path, {"model": state, "ema": ema})
    done = migrated(checkpoint, way(1, Split("w", ("a", "b")), Rename({"mask": "m"})))
    assert {k: v.tolist() for k, v in revive(done.document["ema"]["weights"]).items()} == {
        "a": [[2.0, 2.0]] * 2,
        "b": [[2.0, 2.0]] * 2,
    }
    assert done.document["ema"]["updates"] == 5
    assert done.versions == {"model": 2, "ema": 2, "provenance": 1}


def test_averages_alone_are_led_by_their_own_version(tmp_path):
    ema = {"weights": {"w": torch.ones(4)}, "updates": 5}
    checkpoint = saved(tmp_path, {"ema": ema}, trainer="gpt", versions={"ema": 2})
    done = migrated(checkpoint, way(1, Rename({"v": "w"})), way(2, Rename({"w": "x"})))
    assert list(done.document["ema"]["weights"]) == ["x"]
    assert done.titles == ("model 2 to 3: way 2",)


def test_averages_that_are_a_list_stay_and_it_is_told(tmp_path):
    checkpoint = saved(
        tmp_path, {"model": {"w": torch.ones(2)}, "ema": {"shadow_params": [torch.ones(2)]}}
    )
    done = migrated(checkpoint, way(1, Rename({"w": "x"})))
    assert done.notes == ("the averaged weights are a list without names: they stay as they are",)


def test_an_optimizer_without_names_is_named_by_the_models_order_where_that_proves_it(tmp_path):
    model, optimizer = trained()
    path = tmp_path / "old.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}, path)
    with ckptkit.load(path) as checkpoint:
        done = migrate_sections(
            checkpoint.document, "gpt", {}, [way(1, Split("1.weight", ("a", "b")))]
        )
        assert list(kept_of(done.document["optimizer"])) == [
            "0.weight",
            "0.bias",
            "a",
            "b",
            "1.bias",
        ]


def test_an_optimizer_that_nobody_can_name_stays_and_it_is_told(tmp_path):
    model, optimizer = trained(bias=False)
    weights = dict(sorted(model.state_dict().items()))  # "0.weight", "1.weight": perhaps sorted
    path = tmp_path / "old.pt"
    torch.save({"model": weights, "optimizer": optimizer.state_dict(), "epoch": 1}, path)
    with ckptkit.load(path) as checkpoint:
        done = migrate_sections(checkpoint.document, "gpt", {}, [way(1, Rename({"1.weight": "a"}))])
        assert done.document["optimizer"] is checkpoint.document["optimizer"]
        assert "its parameters have no names" in done.notes[0]


def test_module_versions_move_with_their_modules(tmp_path):
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3))
    checkpoint = saved(tmp_path, {"model": model})
    done = migrated(checkpoint, way(1, Rename({r"0.(.*)": r"norms.first.\1"})))
    metadata = revive(done.document["model"])._metadata
    assert metadata["norms.first"] == {"version": 2}
    assert "0" not in metadata
    assert metadata["1"] == {"version": 1}


# -- versions ---------------------------------------------------------------------------------------

CHAIN = (
    way(1, Rename({"a": "b"})),
    way(2, Pad("b", ((0, 2),))),
    way(3, Cast("b", "float64", was="float32")),
)


def test_forwards_and_back_is_the_identity_to_the_bit(tmp_path):
    weights = {"a": torch.randn(5), "c": torch.randn(2)}
    checkpoint = saved(tmp_path, {"model": weights}, trainer="gpt")
    there = migrated(checkpoint, *CHAIN)
    assert there.versions["model"] == 4
    assert revive(there.document["model"])["b"].dtype == torch.float64
    back = migrate_sections(there.document, "gpt", there.versions, CHAIN, {"model": 1})
    assert back.versions["model"] == 1
    assert back.titles[0] == "model 4 to 3: taken back: way 3"
    again = revive(back.document["model"])
    assert {k: v.tolist() for k, v in again.items()} == {k: v.tolist() for k, v in weights.items()}


def test_what_cannot_be_taken_back_names_the_migrator_and_the_operation(tmp_path):
    checkpoint = saved(
        tmp_path, {"model": {"b": torch.ones(2)}}, trainer="gpt", versions={"model": 2}
    )
    with pytest.raises(
        MigrationError, match=r'model 2 to 1: taken back: way 1: Drop\("a"\): cannot be taken back'
    ):
        migrated(checkpoint, way(1, Drop("a")), to={"model": 1})


def test_what_does_not_fit_names_the_migrator(tmp_path):
    checkpoint = saved(tmp_path, {"model": {"z": torch.ones(2)}}, trainer="gpt")
    with pytest.raises(MigrationError, match=r"model 1 to 2: way 1: Rename.*none of the 1 names"):
        migrated(checkpoint, *CHAIN)


def test_a_checkpoint_newer_than_its_migrators_is_refused(tmp_path):
    checkpoint = saved(
        tmp_path, {"model": {"b": torch.ones(2)}}, trainer="gpt", versions={"model": 9}
    )
    with pytest.raises(NewerSchemaError, match=r"version 9 of gpt.*at most 4"):
        migrated(checkpoint, *CHAIN)


def test_nothing_to_do_gives_the_same_document(tmp_path):
    checkpoint = saved(
        tmp_path, {"model": {"b": torch.ones(2)}}, trainer="gpt", versions={"model": 4}
    )
    assert migrated(checkpoint, *CHAIN).document is checkpoint.document
    assert (
        migrated(checkpoint, way(1, Rename({"x": "y"}), trainer="other")).document
        is checkpoint.document
    )


def test_a_section_that_is_not_there_is_passed_over_but_not_if_it_is_asked_for(tmp_path):
    checkpoint = saved(tmp_path, {"model": {"b": torch.ones(2)}}, trainer="gpt")
    settings = way(1, Rename({"lr": "rate"}), section="config")
    assert migrated(checkpoint, settings).document is checkpoint.document
    with pytest.raises(MigrationError, match="section config: is not in this checkpoint"):
        migrated(checkpoint, settings, to={"config": 2})


def test_a_function_migrates_settings(tmp_path):
    @migrator(
        "gpt",
        "config",
        1,
        2,
        backward=lambda new: {"opt": MapNode({"lr": new["lr"]}), "n": new["n"]},
    )
    def flatten(old):
        """The settings of the optimizer are settings of the run."""
        return {"lr": old["opt"]["lr"], "n": old["n"]}

    checkpoint = saved(tmp_path, {"config": {"opt": {"lr": 0.1}, "n": 3}}, trainer="gpt")
    done = migrated(checkpoint, flatten)
    assert revive(done.document["config"]) == {"lr": 0.1, "n": 3}
    back = migrate_sections(done.document, "gpt", done.versions, [flatten], {"config": 1})
    assert revive(back.document["config"]) == {"opt": {"lr": 0.1}, "n": 3}


def test_a_function_that_fails_is_one_line_and_no_traceback(tmp_path):
    def bad(old):
        return {"b": old["a"]}

    checkpoint = saved(tmp_path, {"model": {"b": torch.ones(2)}}, trainer="gpt")
    with pytest.raises(MigrationError, match=r"Custom\(bad\): failed: KeyError: 'a'"):
        migrated(checkpoint, way(1, Custom(bad)))


# -- restore ----------------------------------------------------------------------------------------


class New(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = (
            torch.nn.Linear(4, 3),
            torch.nn.Linear(4, 3),
            torch.nn.Linear(6, 2),
        )


EVOLVED = way(1, Split(r"0.(weight|bias)", (r"a.\1", r"b.\1")), Rename({r"1.(.*)": r"out.\1"}))


@pytest.mark.parametrize("form", ["sealed", "pt"])
def test_an_old_checkpoint_restores_into_todays_model_and_stays_as_it_is(tmp_path, form):
    model, optimizer = trained()
    path = tmp_path / "old.pt"
    if form == "sealed":
        ckptkit.save(path, {"model": model, "optimizer": optimizer}, trainer="gpt")
    else:
        torch.save(
            {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}, path
        )
    before = {p: p.read_bytes() for p in [path, *path.rglob("*")] if p.is_file()}
    new = New()
    live = torch.optim.AdamW(new.parameters(), lr=0.1)
    report = ckptkit.restore(
        path, {"model": new, "optimizer": live}, trainer="gpt", migrators=[EVOLVED]
    )
    assert torch.equal(new.b.weight, model[0].weight[3:])
    assert torch.equal(
        live.state[new.b.bias]["exp_avg"], optimizer.state[model[0].bias]["exp_avg"][3:]
    )
    assert "model 1 to 2: way 1" in report.migrated
    assert ("migrated", "a.weight", "0.weight") in {
        line[:3] for line in report.component("model").lines
    }
    assert {p: p.read_bytes() for p in [path, *path.rglob("*")] if p.is_file()} == before


def test_a_parameter_that_keeps_its_name_keeps_its_state_in_an_optimizer_without_names(tmp_path):
    model, optimizer = trained()
    path = tmp_path / "old.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}, path)
    new = torch.nn.ModuleDict({"first": torch.nn.Linear(4, 6), "1": torch.nn.Linear(6, 2)})
    live = torch.optim.AdamW(new.parameters(), lr=0.1)
    renamed = way(1, Rename({"0.(.*)": r"first.\1"}))
    targets = {"model": new, "optimizer": live}
    report = ckptkit.restore(path, targets, trainer="gpt", migrators=[renamed])
    assert report.ok
    kept, old = live.state[new["1"].weight], optimizer.state[model[1].weight]
    assert torch.equal(kept["exp_avg"], old["exp_avg"])


def test_what_plugins_register_is_applied_without_being_asked_for(tmp_path, monkeypatch):
    model, _ = trained()
    ckptkit.save(tmp_path / "old", {"model": model}, trainer="gpt")
    monkeypatch.setattr(manager, "migrators", lambda: [EVOLVED])
    new = New()
    report = ckptkit.restore(tmp_path / "old", {"model": new})
    assert report.migrated == ("model 1 to 2: way 1",)
    assert torch.equal(new.out.weight, model[1].weight)
    other = tmp_path / "other"
    ckptkit.save(other, {"model": model}, trainer="another")
    assert ckptkit.plan_restore(other, {"model": model}).migrated == ()


def test_the_same_migrators_lead_nowhere_for_another_trainer(tmp_path):
    model, _ = trained()
    ckptkit.save(tmp_path / "old", {"model": model}, trainer="other")
    with pytest.raises(MigrationError, match="saved by other"):
        ckptkit.restore(tmp_path / "old", {"model": New()}, trainer="gpt", migrators=[EVOLVED])


def test_damage_in_a_tensor_that_is_cut_is_found_before_it_is_used(tmp_path):
    model, _ = trained()
    ckptkit.save(tmp_path / "old", {"model": model}, trainer="gpt")
    file = tmp_path / "old" / "model.safetensors"
    data = bytearray(file.read_bytes())
    with ckptkit.load(tmp_path / "old") as checkpoint:
        table = checkpoint.sealed.manifest.tensors
        row = list(table.names).index("0.weight")
        data[table.stops[row] - 1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ChecksumError, match=r"0\.weight"):
        ckptkit.restore(tmp_path / "old", {"model": New()}, migrators=[EVOLVED])
    options = ckptkit.MigrateOptions(versions=Versions(to={"": 0}, migrators=(EVOLVED,)))
    with pytest.raises(ChecksumError, match=r"0\.weight"):
        ckptkit.migrate(tmp_path / "old", tmp_path / "new", options)
    assert not (tmp_path / "new").exists()


def test_the_nodes_of_the_source_are_never_changed(tmp_path):
    model, optimizer = trained()
    checkpoint = saved(tmp_path, {"model": model, "optimizer": optimizer})
    names = list(checkpoint.document["model"]), list(checkpoint.document["optimizer"]["state"])
    shapes = copy.copy(
        [
            node.shape
            for node in checkpoint.document["model"].values()
            if isinstance(node, TensorNode)
        ]
    )
    migrated(checkpoint, EVOLVED)
    assert (
        list(checkpoint.document["model"]),
        list(checkpoint.document["optimizer"]["state"]),
    ) == names
    assert [node.shape for node in checkpoint.document["model"].values()] == shapes
    assert to_node(1) == 1

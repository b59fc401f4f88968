"""The chain of migrators: what each step does, and that none loses a leaf."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from ckptkit.errors import MigrationError, NewerSchemaError
from ckptkit.nodes import MapNode, SeqNode
from ckptkit.protocols import Move
from ckptkit.schema import compose_moves, follow, plan_chain, run_chain
from ckptkit.schema.chain import STEPS
from ckptkit.testing import strategies as our
from ckptkit.tree import equal, flatten, path_text, resolve, to_node, to_python, walk

STEPS_DIR = Path(__file__).parents[2] / "ckptkit" / "schema" / "steps"
LEDGER = STEPS_DIR / "LEDGER"


def run(document, version=1):
    return run_chain(to_node(document), version)


def as_python(result):
    return to_python(result.document)


def test_a_bare_state_dict_becomes_the_model():
    weights = to_node({"w": 1.0})
    result = run_chain(weights, 0)
    assert result.document["model"] is weights
    assert [step.name for step in result.steps] == ["put_weights_under_model", "sort_into_sections"]
    assert result.moves == (Move((), ("model",)),)


def test_every_key_of_a_training_dict_finds_its_section():
    old = {
        "model": {"w": 1}, "ema": {"weights": {"w": 2}, "decay": 0.9}, "optimizer": {"state": {}}, "scheduler": {"n": 1},
        "scaler": {"scale": 2.0}, "rng": {"cpu": b"x"}, "data": {"place": 7}, "history": [1], "config": {"lr": 1},
        "trackers": {"wandb": "id"}, "provenance": {"host": "h"}, "extra": {"note": "n"}, "metrics": {"loss": 1.0},
        "best": {"name": "loss"}, "epoch": 4, "epoch_means": "last", "step": 99, "step_means": "completed", "samples": 640,
    }  # fmt: skip
    new = as_python(run(old))
    assert list(new) == [
        "model",
        "ema",
        "optimizer",
        "scheduler",
        "scaler",
        "rng",
        "data",
        "progress",
        "metrics",
        "history",
        "config",
        "trackers",
        "provenance",
        "extra",
    ]
    assert new["progress"] == {
        "epochs_completed": 5, "optimizer_steps": 99, "samples": 640,
        "as_stored": {"epoch": 4, "step": 99, "samples": 640}, "epoch_means": "last", "step_means": "completed",
    }  # fmt: skip
    assert new["metrics"] == {"latest": {"loss": 1.0}, "best": {"name": "loss"}}
    assert new["ema"] == old["ema"]
    assert new["extra"] == {"note": "n"}


@pytest.mark.parametrize(
    ("stored", "means", "completed"),
    [(7, "completed", 7), (7, "next", 7), (7, "last", 8), (-1, "last", 0), (0, "next", 0), (7.0, "last", 8), (7, "unknown", None),
     (7, None, None), (7, "of course", None), (-2, "last", None), (7.5, "last", None), (True, "last", None), ("7", "last", 8), ("seven", "last", None),
     pytest.param(10**6000, "last", None, id="huge"),
     (float("inf"), "last", None), (float("nan"), "completed", None), (None, "last", None)],
)  # fmt: skip
def test_an_epoch_is_counted_only_where_its_meaning_is_known(stored, means, completed):
    progress = run({"epoch": stored, "epoch_means": means}).document["progress"]
    assert progress.get("epochs_completed") == completed
    assert equal(progress["as_stored"]["epoch"], stored)
    assert equal(progress["epoch_means"], means)


@pytest.mark.parametrize(
    ("means", "completed"), [("completed", 10), ("last", 11), ("unknown", None), ("next", None)]
)
def test_a_step_is_counted_only_where_its_meaning_is_known(means, completed):
    assert (
        run({"step": 10, "step_means": means}).document["progress"].get("optimizer_steps")
        == completed
    )


def test_nothing_known_means_no_progress_section():
    assert "progress" not in run({"model": {}}).document


@pytest.mark.parametrize("ema", [{"w": 1.0}, [1.0], {"weights": 3.0}, {"shadow": {"w": 1.0}}])
def test_averages_without_their_own_slot_get_one(ema):
    result = run({"ema": ema})
    assert as_python(result)["ema"] == {"weights": ema}
    assert follow(result.moves, ("ema", "x")) == ("ema", "weights", "x")


def test_unknown_keys_go_to_extra_beside_what_was_there():
    result = run({"extra": {"a": 1}, "a": 2, 7: 3})
    assert as_python(result)["extra"] == {"extra": {"a": 1}, "a": 2, 7: 3}
    assert follow(result.moves, ("extra", "a")) == ("extra", "extra", "a")
    assert follow(result.moves, (7,)) == ("extra", 7)


def test_a_step_changes_nothing_in_its_source():
    old = to_node({"model": {"w": 1}, "epoch": 1, "odd": [1], "ema": {"w": 1}})
    before = flatten(old).tokens
    run_chain(old, 1)
    assert flatten(old).tokens == before


def test_a_version_beyond_the_target_is_refused_by_number():
    with pytest.raises(NewerSchemaError, match=r"version 3.*at most 2"):
        run_chain(MapNode(), 3)
    with pytest.raises(MigrationError, match="from version -1"):
        plan_chain(-1)


def test_a_plan_is_the_dry_run():
    assert [(step.start, step.stop) for step in plan_chain(0)] == [(0, 1), (1, 2)]
    assert plan_chain(2) == ()
    assert all(step.title.endswith(".") for step in STEPS.values())


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(our.documents())
def test_no_leaf_is_lost_and_every_one_is_where_the_moves_say(document):
    result = run_chain(document, 1)
    assert set(result.document) <= {
        "model", "ema", "optimizer", "scheduler", "scaler", "rng", "data", "progress", "metrics", "history", "config", "trackers",
        "provenance", "extra",
    }  # fmt: skip
    for path, node in walk(document):
        if path:
            target = follow(result.moves, path)
            assert target is not None, path_text(path)
            assert resolve(result.document, target) is node


def test_moves_join_end_to_end():
    first = [
        Move(("net",), ("model",), {"module.w": "w"}, "unwrapped"),
        Move(("a", "b"), ("epoch",)),
        Move(("gone",), ("x",)),
    ]
    second = [
        Move(("model",), ("weights",)),
        Move(("model", "w"), ("special",)),
        Move(("epoch",), ("progress", "as_stored", "epoch")),
    ]
    joined = compose_moves(first, second)
    assert follow(joined, ("net", "module.b")) == ("weights", "module.b")
    assert follow(joined, ("net", "module.w")) == ("special",)
    assert follow(joined, ("a", "b")) == ("progress", "as_stored", "epoch")
    assert follow(joined, ("gone",)) is None
    assert joined[0].note == "unwrapped"


def test_moves_tell_keys_apart_that_python_calls_equal():
    moves = [Move((1,), ("one",)), Move((True,), ("true",))]
    assert follow(moves, (True,)) == ("true",)
    assert follow(moves, (1.0,)) is None


def test_a_long_list_of_steps_shares_its_subtrees():
    shared = SeqNode([1])
    result = run_chain(MapNode({"model": MapNode({"a": shared}), "odd": shared}), 1)
    assert result.document["model"]["a"] is result.document["extra"]["odd"] is shared


# -- the ledger ------------------------------------------------------------------------------------


def test_a_released_step_is_never_edited():
    released = json.loads(LEDGER.read_text())
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in STEPS_DIR.glob("v*.py")}
    assert found == released, (
        "a released step changed: write a new one instead (docs/migrations.md)"
    )


def test_steps_use_literal_keys_and_no_live_class():
    for path in STEPS_DIR.glob("v*.py"):
        imports = set(re.findall(r"^(?:from|import) (\S+)", path.read_text(), re.MULTILINE))
        assert imports <= {
            "__future__",
            "struct",
            "ckptkit.nodes",
            "ckptkit.protocols",
            "ckptkit.schema.stepping",
        }

"""What ``inspect`` says of sharing, gaps and losses, on trees built by hand."""

from __future__ import annotations

import pytest

from ckptkit.nodes import MapNode, SeqNode, Storage, TensorNode
from ckptkit.tree import resolve
from ckptkit.types import DTYPES
from ckptkit.verbs.outline import outline
from ckptkit.verbs.places import leaf_places, tensor_places
from ckptkit.verbs.resume_gaps import find_gaps, find_losses, lacks_all_but_weights
from ckptkit.verbs.sharing import find_sharing, number_views
from tests.growth import grows_in_step


class NeverRead:
    """A source that fails the test when somebody reads from it."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def read_into(self, offset: int, out: memoryview) -> None:
        raise AssertionError("a tensor byte was read")


def storage(n_elements: int, key: str = "0") -> Storage:
    return Storage(key, 4 * n_elements, NeverRead(4 * n_elements))


def tensor(store: Storage, n: int, offset: int = 0, dtype: str = "float32") -> TensorNode:
    return TensorNode(dtype=DTYPES[dtype], shape=(n,), strides=(1,), offset=offset, storage=store)


def sharing_of(found):
    return find_sharing(found, number_views(found))


def places(**named: TensorNode):
    return [((name,), node) for name, node in named.items()]


def test_two_names_of_one_view_are_a_tie_and_count_once():
    store = storage(10)
    found = places(a=tensor(store, 10), b=tensor(store, 10), c=tensor(storage(5), 5))
    sharing = sharing_of(found)
    assert [tie.paths for tie in sharing.ties] == [(("a",), ("b",))]
    assert sharing.shared == ()
    assert sharing.slack == ()
    assert number_views(found) == [0, 0, 1]


def test_two_views_of_a_storage_are_shared_but_not_tied():
    store = storage(10)
    sharing = sharing_of(places(a=tensor(store, 5), b=tensor(store, 5, 5)))
    assert sharing.ties == ()
    assert [row.paths for row in sharing.shared] == [(("a",), ("b",))]


def test_slack_is_what_no_view_shows():
    big, small = storage(1000), storage(20, "1")
    sharing = sharing_of(places(a=tensor(big, 10), b=tensor(small, 5), c=tensor(big, 10)))
    assert [(row.key, row.freed_nbytes) for row in sharing.slack] == [("0", 3960), ("1", 60)]


def test_a_meta_tensor_has_no_storage_to_waste():
    meta = Storage("m", 400, None)
    assert sharing_of(places(a=tensor(meta, 1))).slack == ()


def test_one_object_at_two_places_is_told_at_both():
    node = tensor(storage(2), 2)
    root = MapNode({"x": node, "deep": SeqNode([node, MapNode({"y": node})])})
    assert [path for path, _ in tensor_places(root)] == [("x",), ("deep", 0), ("deep", 1, "y")]


def test_a_cycle_ends_and_depth_costs_no_recursion():
    root = MapNode({"w": 1})
    root["self"] = root
    inner = SeqNode([root])
    for _ in range(50_000):
        inner = SeqNode([inner])
    assert [leaf for _, leaf in leaf_places(inner)] == [1]
    assert len(list(outline(inner, max_depth=10**6))) > 50_000


def gaps(document: MapNode) -> list[str]:
    counts = {name: len(tensor_places(node)) for name, node in document.items()}
    return [gap.section for gap in find_gaps(document, counts)]


def whole() -> MapNode:
    return MapNode({
        "model": MapNode({"w": tensor(storage(2), 2)}),
        "optimizer": MapNode({"state": MapNode({0: MapNode({"exp_avg": tensor(storage(2), 2)})}),
                              "param_groups": SeqNode([])}),
        "scheduler": MapNode({"last_epoch": 1}),
        "rng": MapNode({"torch": tensor(storage(2), 2)}),
        "data": MapNode({"samples": 10}),
        "progress": MapNode({"epochs_completed": 3}),
    })  # fmt: skip


def test_a_whole_checkpoint_lacks_nothing():
    assert gaps(whole()) == []


def test_every_absent_section_is_named():
    for name in ("model", "optimizer", "scheduler", "rng", "data", "progress"):
        document = MapNode([(key, node) for key, node in whole().items() if key != name])
        assert gaps(document) == [name]


def test_an_empty_model_is_as_good_as_none():
    document = whole()
    document["model"] = MapNode({"note": "nothing here"})
    assert gaps(document) == ["model"]


def test_a_scaler_is_missed_only_where_the_config_says_fp16():
    document = whole()
    document["config"] = MapNode({"train": MapNode({"precision": "bf16-mixed", "lr": 0.1})})
    assert gaps(document) == []
    document["config"] = MapNode({"train": MapNode({"precision": "16-mixed"})})
    assert gaps(document) == ["scaler"]
    document["scaler"] = MapNode({"scale": 65536.0})
    assert gaps(document) == []


def test_all_but_weights_is_said_only_of_weights_and_nothing_else():
    def says(*names: str) -> bool:
        document = MapNode([(name, node) for name, node in whole().items() if name in names])
        counts = {name: len(tensor_places(node)) for name, node in document.items()}
        return lacks_all_but_weights(find_gaps(document, counts))

    assert says("model")
    assert not says("model", "scheduler")
    assert not says("model", "rng")
    assert not says("scheduler")
    assert not says()


def test_a_tensor_among_the_counts_is_no_run_that_counts_from_zero():
    document = whole()
    document["progress"] = MapNode({"as_stored": MapNode({"epoch": tensor(storage(1), 1)})})
    counts = {name: len(tensor_places(node)) for name, node in document.items()}
    assert [gap.effect for gap in find_gaps(document, counts)] == [
        "epoch is a tensor; inspect --stats reads it"
    ]


def losses(document: MapNode) -> list[str]:
    found = {str(name): tensor_places(node) for name, node in document.items()}
    return [notice.code for notice in find_losses(document, found)]


def test_losses_are_named_by_their_code():
    assert losses(whole()) == []
    weights = tensor(storage(2), 2)
    assert losses(MapNode({"model": MapNode({"w": weights})})) == ["weights-only"]
    ema = MapNode({"ema": MapNode({"w": weights}), "progress": MapNode({"epochs_completed": 1})})
    assert losses(ema) == ["ema-only"]


def test_half_precision_moments_are_a_loss_but_half_weights_are_not():
    document = whole()
    document["model"] = MapNode({"w": tensor(storage(2), 2, dtype="float16")})
    assert losses(document) == []
    state = document["optimizer"]["state"][0]
    state["exp_avg"] = tensor(storage(2), 2, dtype="float16")
    assert losses(document) == ["half-optimizer"]


def test_an_optimizer_without_state_is_called_hollow():
    document = whole()
    document["optimizer"] = MapNode({"state": MapNode(), "param_groups": SeqNode([])})
    assert losses(document) == ["hollow-optimizer"]


def test_the_outline_tells_shared_parts_once_and_cuts_long_lists():
    shared = MapNode({"k": 1})
    root = MapNode({"a": shared, "b": shared, "long": SeqNode([*range(100)])})
    rows = list(outline(root, max_depth=5))
    assert [(row.depth, row.name, row.text) for row in rows[:3]] == [
        (0, "a", "dict of 1"), (1, "k", "1"), (0, "b", "the same as a"),
    ]  # fmt: skip
    assert rows[-1].text == "88 more like these"
    assert len(list(outline(root, max_depth=5, every=True))) == 4 + 100
    assert max(row.depth for row in outline(root, max_depth=1)) == 0


def test_nothing_in_an_outline_reaches_a_terminal_raw():
    root = MapNode({"\x1b[2J": "\x1b]0;title\x07", "\u202eevil": b"\x1b" * 4, "n": 10**5000})
    for row in outline(root, max_depth=3):
        assert (row.name + row.text).isprintable()


def test_a_tensor_that_is_read_in_chunks_is_opened_once(monkeypatch):
    from ckptkit.containers.bytesource import MemoryBytes
    from ckptkit.verbs import lazy_tensor

    opened = []

    def open_source(node: TensorNode):
        opened.append(node)
        return MemoryBytes(bytes(range(16)))

    monkeypatch.setattr(lazy_tensor, "logical_source", open_source)
    lazy = lazy_tensor.LazyTensor(("w",), tensor(storage(4), 4))
    out = bytearray(16)
    for start in range(0, 16, 4):
        lazy.read_into(memoryview(out)[start : start + 4], start)
    assert bytes(out) == lazy.read() == bytes(range(16))
    assert len(opened) == 1


def test_absent_keys_of_a_large_mapping_cost_nothing():
    def look_up(size):
        large = MapNode([(f"file {i}", i) for i in range(size)])

        def search():
            for i in range(size):
                with pytest.raises(KeyError):
                    resolve(large, (f"no file {i}",))

        return search

    assert grows_in_step(look_up, 100)  # walking over the others would grow with the square


def test_many_optimizers_of_one_name_get_names_in_a_moment():
    from ckptkit.dialects.filling import distinct_roles
    from ckptkit.dialects.sorting import Found

    def named(count):
        parts = [Found("optim", ("optim", i), MapNode(), "adam") for i in range(count)]
        return lambda: distinct_roles(parts)

    assert grows_in_step(named, 200)
    roles = named(60_000)()
    assert len(set(roles)) == 60_000
    assert roles[:3] == ["adam", "optim", "optim_2"]

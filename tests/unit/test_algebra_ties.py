"""Operations on some of several tied names are refused, and say so; nothing comes apart unseen."""

from __future__ import annotations

import pytest

from ckptkit.algebra import (
    Cast,
    Concat,
    Custom,
    Drop,
    Pad,
    Rename,
    Reshape,
    SectionMigrator,
    Slice,
    Split,
    Transpose,
    run,
)
from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.errors import MigrationError
from ckptkit.nodes import Storage, TensorNode
from ckptkit.types import DTYPES


def tensor(storage, shape=(4, 4)):
    return TensorNode(
        dtype=DTYPES["float32"], shape=shape, strides=(shape[1], 1), offset=0, storage=storage
    )


def tied():
    storage = Storage("0", 64, MemoryBytes(bytes(range(64))))
    other = Storage("1", 64, MemoryBytes(bytes(64)))
    return {"a": tensor(storage), "b": tensor(storage), "c": tensor(other)}


ALONE = [
    Transpose("a"),
    Cast("a", "float64"),
    Pad("a", ((0, 1),)),
    Slice("a", ((0, 2),)),
    Reshape("a", (2, 8)),
    Split("a", ("a.q", "a.k")),
    Concat(("a", "c"), "ac"),
    Custom(lambda state: {**state, "a": Transpose("a").apply(state).state["a"]}),
]


@pytest.mark.parametrize("operation", ALONE, ids=lambda one: type(one).__name__)
def test_what_changes_one_of_two_tied_names_is_refused_with_what_to_write(operation):
    with pytest.raises(MigrationError, match="also names b, which shares its memory") as caught:
        run([operation], tied())
    assert type(operation).__name__ in caught.value.where
    assert "name both, as (a|b) does" in caught.value.advice


@pytest.mark.parametrize("operation", ALONE[:-1], ids=lambda one: type(one).__name__)
def test_a_name_that_is_dropped_is_in_nobodys_way(operation):
    assert "b" not in run([Drop("b"), operation], tied()).state
    assert "b" not in run([operation, Drop("b")], tied()).state


def test_ties_are_parted_on_request():
    made = run([Transpose("a", untie=True)], tied()).state
    assert made["a"].same_view() != made["b"].same_view()
    assert "untie=True" in repr(Transpose("a", untie=True))


@pytest.mark.parametrize(
    "operations",
    [
        [Transpose("(a|b)")],
        [Transpose("a"), Transpose("b")],
        [Transpose("a"), Rename({"b": "d"}), Transpose("d")],
        [Rename({"a": "d"})],
        [Drop("a")],
        [Transpose("a", (0, 1))],
        [Cast("a", "float32")],
        [Concat(("a", "b"), "ab")],
        [Split("a", ("a.q", "a.k")), Split("b", ("b.q", "b.k"))],
        [Transpose("c")],
    ],
    ids=repr,
)
def test_what_is_done_to_every_name_keeps_the_tie(operations):
    run(operations, tied())


def test_other_things_done_to_each_name_are_refused():
    with pytest.raises(MigrationError, match="shares its memory"):
        run([Transpose("a"), Cast("b", "float64")], tied())


def test_a_restore_refuses_to_part_a_tied_pair(tmp_path):
    torch = pytest.importorskip("torch")
    import ckptkit

    class Pair(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Parameter(torch.randn(3, 3))
            self.b = self.a

    ckptkit.save(tmp_path / "c", {"model": Pair()}, trainer="t", versions={"model": 1})

    def restored(*operations):
        way = SectionMigrator(
            trainer="t", section="model", start=1, stop=2, title="x", operations=operations
        )
        live = Pair()
        before = live.a.detach().clone()
        try:
            ckptkit.restore(tmp_path / "c", {"model": live}, trainer="t", migrators=[way])
        finally:
            changed = not torch.equal(before, live.a)
        return changed

    with pytest.raises(MigrationError, match=r"x: Transpose.*also names b"):
        restored(Transpose("a"))
    assert restored(Transpose("(a|b)"))

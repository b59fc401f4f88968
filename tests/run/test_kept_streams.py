"""What a process keeps for the one that writes: found whole and of the same moment, or not at all."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ckptkit.run.kept_streams import FOLDER, KeptStreams
from ckptkit.run.mark import Mark
from ckptkit.run.rng import as_tree, put_back, take_mark
from ckptkit.run.stream_bytes import dump_streams, parse_streams
from ckptkit.storage.slots import SLOT_NBYTES, Slots, read_slots


def draws(generators):
    """What comes next of every stream."""
    numpy = np.random.rand(), np.random.randn()  # noqa: NPY002  the legacy stream is meant
    return [
        random.random(), *map(float, numpy), float(torch.rand(())),
        generators["pcg"].random(), generators["twister"].random(), generators["philox"].random(),
        generators["sfc"].random(), generators["python"].random(),
        float(torch.rand((), generator=generators["torch"])),
    ]  # fmt: skip


def test_streams_come_back_from_their_bytes_as_they_were():
    generators = {
        "pcg": np.random.default_rng(1),
        "twister": np.random.Generator(np.random.MT19937(2)),
        "philox": np.random.Generator(np.random.Philox(3)),
        "sfc": np.random.Generator(np.random.SFC64(4)),
        "python": random.Random(5),
        "torch": torch.Generator().manual_seed(6),
    }
    np.random.randn()  # noqa: NPY002  the legacy stream keeps the second of a pair
    mark = take_mark(generators)
    expected = draws(generators)
    kept = parse_streams(dump_streams([3, 7], mark))
    assert kept.moment == [3, 7]
    put_back(kept.streams, generators)
    assert draws(generators) == expected


@pytest.mark.parametrize("place", [0, 5, 100, 5000, -1])
def test_bytes_that_are_torn_anywhere_are_no_streams(place):
    data = bytearray(dump_streams([1], take_mark()))
    assert parse_streams(bytes(data)) is not None
    data[place] ^= 1
    assert parse_streams(bytes(data)) is None
    assert parse_streams(bytes(data[: len(data) // 2])) is None


def test_a_place_is_read_as_it_was_written_last_and_others_are_left_out(tmp_path):
    slots = Slots(tmp_path / "slots")
    slots.write(2, b"longer than the next")
    slots.write(2, b"two")
    slots.write(0, b"zero")
    with pytest.raises(ValueError, match="bytes"):
        slots.write(1, bytes(SLOT_NBYTES))
    slots.close()
    assert read_slots(tmp_path / "slots", 4) == [b"zero", b"two"]
    assert read_slots(tmp_path / "absent", 4) == []
    (tmp_path / "wild").write_bytes(b"\xff" * 40)
    assert read_slots(tmp_path / "wild", 4) == []


def process(folder, rank, state, world=2):
    ranks = SimpleNamespace(rank=rank, world=world, writes=rank == 0)
    return KeptStreams(folder, ranks, state, {})


@pytest.fixture
def pair(tmp_path):
    """The first process and the second, of one model each."""
    (tmp_path / FOLDER).mkdir()
    models = [torch.nn.Linear(2, 1) for _ in range(2)]
    return [(process(tmp_path, rank, {"model": m}), m) for rank, m in enumerate(models)]


def mark_at(steps, seed):
    torch.manual_seed(seed)
    return Mark(steps=steps, rng=take_mark())


def words(tree):
    return None if tree is None else tree["torch"].tolist()


def of(mark):
    return words(as_tree(mark.rng))


def test_the_streams_of_the_same_save_point_are_found_though_their_process_is_ahead(pair):
    (first, _), (second, _) = pair
    first.note(mark_at(1, 10))
    one, two = mark_at(1, 20), mark_at(2, 21)
    second.note(one)
    second.note(two)
    assert [words(tree) for tree in first.of_others(mark_at(1, 10))] == [of(one)]
    first.note(mark_at(2, 11))
    assert [words(tree) for tree in first.of_others(mark_at(2, 11))] == [of(two)]


def test_of_one_that_died_behind_its_gradients_those_are_found_that_the_step_would_end_with(pair):
    marks = []
    for seed, (kept, model) in zip((10, 20), pair, strict=True):
        kept.note(mark_at(1, seed))
        torch.rand(3)  # dropout
        model(torch.ones(2)).sum().backward()
        marks.append(Mark(steps=2, rng=take_mark()))
    first = pair[0][0]
    first.note(marks[0])
    assert [words(tree) for tree in first.of_others(marks[0])] == [of(marks[1])]


def test_nothing_is_taken_for_a_step_s_end_where_the_first_process_drew_behind_its_gradients(pair):
    for seed, (kept, model) in zip((10, 20), pair, strict=True):
        kept.note(mark_at(1, seed))
        model(torch.ones(2)).sum().backward()
        torch.rand(3)
    first = pair[0][0]
    mark = Mark(steps=2, rng=take_mark())
    first.note(mark)
    assert first.of_others(mark) == [None]


def test_streams_of_another_step_and_of_one_without_gradients_are_not_taken(pair):
    (first, _), (second, _) = pair
    second.note(mark_at(1, 20))
    torch.manual_seed(10)
    first.note(Mark(steps=1, rng=take_mark()))
    mark = Mark(steps=2, rng=take_mark())  # nothing was drawn here; who knows what was there
    first.note(mark)
    assert first.of_others(mark) == [None]


def test_at_the_end_nothing_is_left_on_the_disk_and_on_the_model(pair, tmp_path):
    for kept, model in pair[::-1]:
        kept.note(mark_at(1, 0))
        kept.end()
        assert not model.weight._backward_hooks
    assert not (tmp_path / FOLDER).exists()


def test_a_process_that_cannot_keep_anything_goes_on(tmp_path):
    kept = process(tmp_path / "no such folder", 1, {"model": torch.nn.Linear(2, 1)})
    kept.note(mark_at(1, 0))
    kept.end()
    first = process(tmp_path / "no such folder", 0, {}, world=3)
    first.note(mark_at(1, 0))
    assert first.of_others(mark_at(1, 0)) == [None, None]

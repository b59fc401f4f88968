"""Random streams go on from where they were taken, and stay undisturbed by ours."""

import random

import numpy as np
import pytest
import torch

from ckptkit.errors import MismatchError
from ckptkit.run import rng
from ckptkit.run.rng import as_tree, from_tree, put_back, seed_streams, take_mark, undisturbed
from ckptkit.tree import equal, to_node, to_python
from tests.run.small import Small


def draws():
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.standard_normal(),  # noqa: NPY002
        torch.rand(3).tolist(),
    )


def test_every_stream_goes_on_from_the_mark():
    draws()
    mark = take_mark()
    first = [draws() for _ in range(5)]
    put_back(mark)
    assert [draws() for _ in range(5)] == first


def test_a_mark_survives_being_data():
    random.gauss(0, 1)  # leaves the second value of the pair in the state
    np.random.standard_normal()  # noqa: NPY002  so does this
    mark = take_mark()
    expected = draws()
    tensors = []

    def number(tensor):
        tensors.append(tensor.clone())
        return len(tensors) - 1

    tree = to_python(to_node(as_tree(mark), tensor=number))

    def with_tensors(value):
        if isinstance(value, dict):
            return {
                k: tensors[v] if k in ("words", "torch") else with_tensors(v)
                for k, v in value.items()
            }
        return value

    seed_streams(99)
    put_back(from_tree(with_tensors(tree)))
    assert draws() == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.Generator().manual_seed(5),
        lambda: np.random.default_rng(5),
        lambda: np.random.Generator(np.random.Philox(5)),
        lambda: np.random.Generator(np.random.MT19937(5)),
        lambda: random.Random(5),
    ],
    ids=["torch", "pcg64", "philox", "mt19937", "random"],
)
def test_a_generator_that_was_handed_over_goes_on(make):
    one = make()

    def draw():
        if isinstance(one, torch.Generator):
            return torch.rand(2, generator=one).tolist()
        return one.random()

    draw()
    mark = from_tree(as_tree(take_mark({"mine": one})))
    first = [draw() for _ in range(3)]
    put_back(mark, {"mine": one})
    assert [draw() for _ in range(3)] == first


def test_a_generator_that_was_never_stored_is_refused_by_name():
    with pytest.raises(MismatchError, match="rng/generators/augment"):
        put_back(take_mark(), {"augment": torch.Generator()})


def test_a_generator_of_another_kind_is_refused():
    mark = take_mark({"g": np.random.default_rng(1)})
    with pytest.raises(MismatchError, match="does not fit"):
        put_back(mark, {"g": torch.Generator()})


def test_what_is_no_set_of_streams_is_refused():
    with pytest.raises(MismatchError, match="no set of random streams"):
        from_tree({"python": 3})


def test_a_block_leaves_no_trace_in_the_streams():
    before = as_tree(take_mark())
    with undisturbed():
        seed_streams(7)
        draws()
    after = as_tree(take_mark())
    tensor = lambda t: tuple(t.tolist())  # noqa: E731
    assert equal(to_node(before, tensor=tensor), to_node(after, tensor=tensor))


class Devices:
    """An accelerator with so many devices, whose streams are their numbers."""

    def __init__(self, count):
        self.count = count
        self.streams = {}

    def device_count(self):
        return self.count

    def get_rng_state_all(self):
        return [torch.full((16,), number, dtype=torch.uint8) for number in range(self.count)]

    def set_rng_state(self, state, number):
        self.streams[number] = state


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (2, 0, "2 of cuda were stored, which is not in use here"),
        (2, 1, "2 of cuda were stored, and 1 of its devices are here"),
        (0, 2, "none of cuda was stored"),
        (2, 2, ""),
    ],
)
def test_streams_that_a_resume_cannot_put_back_are_told(tmp_path, monkeypatch, before, now, words):
    def use(count):
        found = [("cuda", Devices(count))] if count else []
        monkeypatch.setattr(rng, "_accelerators", lambda: iter(found))

    use(before)
    Small().train(tmp_path, 1)
    use(now)
    again = Small()
    again.train(tmp_path, 2)
    told = [text for text in again.told if "random streams that do not go on" in text]
    assert told == ([f"random streams that do not go on: {words}"] if words else [])

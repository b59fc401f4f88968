"""A loader goes on from any sample: same order, same augmentations, whoever fetches them."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils import data

from ckptkit.errors import MismatchError
from ckptkit.run.loaders import Place, ResumableLoader
from ckptkit.run.order import Share, count_batches, deal
from ckptkit.run.rng import as_tree, take_mark


class Noisy(data.Dataset):
    """Its samples are their index and a draw of each stream."""

    def __init__(self, n_samples):
        self.n_samples = n_samples

    def __len__(self):
        return self.n_samples

    def __getitem__(self, index):
        noise = [random.random(), np.random.random(), torch.rand(()).item()]  # noqa: NPY002
        return torch.tensor([float(index), *noise], dtype=torch.float64)


def collate_with_noise(samples):
    return torch.stack(samples), torch.rand(())


def rows(batches):
    return [row.tolist() for batch in batches for row in batch]


@given(
    n=st.integers(1, 60),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    shuffle=st.booleans(),
    stops=st.lists(st.integers(0, 4), min_size=4, max_size=4),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_any_stops_and_batch_sizes_show_the_same_samples(n, sizes, shuffle, stops, seed):
    whole = data.DataLoader(Noisy(n), batch_size=5, shuffle=shuffle)
    expected = rows(ResumableLoader(whole, seed=seed))
    shown, place = [], Place(seed, 0, 0)
    for size, stop in zip(sizes, stops, strict=False):
        loader = ResumableLoader(data.DataLoader(Noisy(n), batch_size=size, shuffle=shuffle))
        loader.seek(place)
        for count, batch in enumerate(loader):
            shown += rows([batch])
            if count + 1 >= stop:
                break
        place = loader.place
    rest = ResumableLoader(data.DataLoader(Noisy(n), batch_size=3, shuffle=shuffle))
    rest.seek(place)
    assert shown + rows(rest) == expected


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_change_nothing_even_across_epochs_and_a_stop(persistent):
    def shown(workers):
        keep = persistent and workers > 0
        source = data.DataLoader(
            Noisy(23), batch_size=4, shuffle=True, num_workers=workers, persistent_workers=keep
        )
        loader, batches = ResumableLoader(source, seed=3), []
        for epoch in range(2):
            loader.seek(Place(3, epoch, 8 if epoch else 0))
            batches += list(loader)
        return rows(batches)

    assert shown(0) == shown(2)


def test_two_epochs_have_two_orders_and_two_augmentations():
    loader = ResumableLoader(data.DataLoader(Noisy(40), batch_size=8, shuffle=True))
    first = rows(loader)
    loader.seek(Place(0, 1, 0))
    second = rows(loader)
    assert sorted(r[0] for r in first) == sorted(r[0] for r in second)
    assert [r[0] for r in first] != [r[0] for r in second]
    assert {r[1] for r in first} & {r[1] for r in second} == set()


def test_no_stream_of_the_script_is_drawn_from():
    tensor = lambda state: {k: str(v) for k, v in state.items()}  # noqa: E731
    before = tensor(as_tree(take_mark()))
    list(ResumableLoader(data.DataLoader(Noisy(9), shuffle=True, collate_fn=collate_with_noise)))
    assert tensor(as_tree(take_mark())) == before


def test_draws_of_a_collate_function_belong_to_the_batch():
    def noise(workers, start):
        source = data.DataLoader(
            Noisy(20), batch_size=5, num_workers=workers, collate_fn=collate_with_noise
        )
        loader = ResumableLoader(source)
        loader.seek(Place(0, 0, start))
        return [drawn.item() for _, drawn in loader]

    assert noise(0, 0) == noise(2, 0)
    assert noise(0, 10) == noise(0, 0)[2:]


def test_the_place_counts_what_was_handed_out_not_what_workers_fetched():
    source = data.DataLoader(Noisy(40), batch_size=4, num_workers=2, prefetch_factor=4)
    loader = ResumableLoader(source)
    batches = iter(loader)
    next(batches)
    next(batches)
    assert loader.place == Place(0, 0, 8)


def test_a_loader_without_batches_has_a_place_too():
    loader = ResumableLoader(data.DataLoader(Noisy(6), batch_size=None))
    shown = iter(loader)
    first = [next(shown)[0].item() for _ in range(2)]
    other = ResumableLoader(data.DataLoader(Noisy(6), batch_size=None))
    other.seek(loader.place)
    assert first + [row[0].item() for row in other] == [0, 1, 2, 3, 4, 5]


def test_a_weighted_sampler_goes_on_in_its_own_order():
    def source():
        sampler = data.WeightedRandomSampler([1.0] * 10, 30)
        return ResumableLoader(data.DataLoader(Noisy(10), batch_size=5, sampler=sampler), seed=2)

    expected, loader = rows(source()), source()
    loader.seek(Place(2, 0, 15))
    assert rows(loader) == expected[15:]


def test_a_batch_sampler_of_ones_own_goes_on_between_its_batches():
    def source():
        sampler = [[0, 1, 2], [3], [4, 5], [6, 7, 8, 9]]
        return ResumableLoader(data.DataLoader(Noisy(10), batch_sampler=sampler))

    expected, loader = rows(source()), source()
    loader.seek(Place(0, 0, 4))
    assert rows(loader) == expected[4:]
    assert len(source()) == 4


def test_a_dataset_that_fetches_batches_is_asked_for_batches():
    class Table(Noisy):
        asked = 0

        def __getitems__(self, indices):
            type(self).asked += 1
            return [self[i] for i in indices]

    loader = ResumableLoader(data.DataLoader(Table(9), batch_size=3))
    assert [row[0] for row in rows(loader)] == list(range(9))
    assert Table.asked == 3


def test_an_iterable_dataset_is_refused_with_what_to_do():
    class Stream(data.IterableDataset):
        def __iter__(self):
            return iter(range(3))

    with pytest.raises(MismatchError, match="StatefulDataLoader"):
        ResumableLoader(data.DataLoader(Stream()))


@given(
    n=st.integers(0, 40),
    size=st.integers(1, 5),
    worlds=st.lists(st.integers(1, 4), min_size=2, max_size=2),
    steps=st.integers(0, 3),
)
def test_ranks_share_what_is_left_whatever_their_number_becomes(n, size, worlds, steps):
    dealt, start = [], 0
    for world, limit in zip(worlds, (steps, None), strict=True):
        ranks = [list(deal(start, n, Share(size, rank, world))) for rank in range(world)]
        assert len({len(batches) for batches in ranks}) == 1
        assert count_batches(start, n, Share(size, 0, world)) == len(ranks[0])
        for batches in zip(*[batches[:limit] for batches in ranks], strict=True):
            assert len({len(positions) for positions, _ in batches}) == 1
            assert len({count for _, count in batches}) == 1
            dealt += {p for positions, _ in batches for p in positions}
            start += batches[0][1]
    assert sorted(dealt) == list(range(n))


def test_drop_last_drops_the_same_rest():
    loader = ResumableLoader(data.DataLoader(Noisy(10), batch_size=4, drop_last=True))
    assert len(loader) == 2
    assert [row[0] for row in rows(loader)] == list(range(8))

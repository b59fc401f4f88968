"""Data that grow or shrink between two epochs are seen, as torch's own samplers see them."""

import pytest
from torch.utils import data

from ckptkit.run.policy import SavePolicy
from tests.run.small import Small


class Rows(data.Dataset):
    def __init__(self, n_rows):
        self.rows = list(range(n_rows))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def in_order(rows):
    return data.DataLoader(rows, batch_size=4)


def shuffled(rows):
    return data.DataLoader(rows, batch_size=4, shuffle=True)


def chosen(rows):
    class Live:
        """The indices that a script adds to."""

        def __len__(self):
            return len(rows)

        def __iter__(self):
            return iter(range(len(rows)))

    return data.DataLoader(rows, batch_size=4, sampler=data.SubsetRandomSampler(Live()))


def shared(rows):
    return data.DataLoader(rows, batch_size=4, sampler=data.DistributedSampler(rows, 1, 0))


def epochs(folder, kind, n_rows, change):
    rows, shown = Rows(n_rows), []
    loader = kind(rows)
    with Small().run(folder, save=SavePolicy()) as run:
        for epoch in run.epochs(3):
            shown.append(sorted(x for batch in run.batches(loader) for x in batch.tolist()))
            change(rows.rows, epoch)
    return shown


@pytest.mark.parametrize("kind", [in_order, shuffled, chosen, shared])
def test_samples_that_come_between_two_epochs_are_shown(tmp_path, kind):
    shown = epochs(tmp_path, kind, 6, lambda rows, epoch: rows.append(100 + epoch))
    first = [*range(6)]
    assert shown == [first, [*first, 100], [*first, 100, 101]]


@pytest.mark.parametrize("kind", [in_order, shuffled, chosen, shared])
def test_samples_that_go_between_two_epochs_are_not_asked_for(tmp_path, kind):
    shown = epochs(tmp_path, kind, 6, lambda rows, _epoch: rows.pop())
    assert [len(rows) for rows in shown] == [6, 5, 4]


def test_samples_that_come_inside_an_epoch_wait_for_the_next_one(tmp_path):
    rows, shown = Rows(8), []
    loader = shuffled(rows)
    with Small().run(tmp_path, save=SavePolicy()) as run:
        for _ in run.epochs(2):
            shown.append([])
            for batch in run.batches(loader):
                shown[-1] += batch.tolist()
                rows.rows.append(100)
    assert sorted(shown[0]) == [*range(8)]
    assert len(shown[1]) == 10

"""A resume inside an epoch that finds other loops or other data than the epoch began with says so."""

import pytest
from torch.utils.data import DataLoader, Subset, WeightedRandomSampler

from tests.run.small import Small, raising_at


class Changing(Small):
    name = "train"

    def loop(self, run, epochs, inside, tail):
        for _ in run.epochs(epochs):
            for batch in run.batches(self.loader, self.name):
                self.step(run, batch, inside)


def gone_on(folder, change):
    """What was told of the loops by a run that was stopped in its second epoch, then changed."""
    one, again = Changing(), Changing()
    with pytest.raises(ValueError):
        one.train(folder, inside=raising_at(5, ValueError()))
    change(again)
    again.train(folder)
    return [text for text in again.told if "the epoch" in text]


def test_another_name_of_the_loop_is_told_with_the_one_that_waits(tmp_path):
    (told,) = gone_on(tmp_path, lambda one: setattr(one, "name", "labelled"))
    assert told == (
        "the epoch goes on inside the loop named 'train', but one named 'labelled' comes first and "
        "begins at its beginning: has it another name now?"
    )


def fewer(one):
    one.loader = DataLoader(Subset(one.data, range(10)), batch_size=4, shuffle=True)


def in_order(one):
    one.loader = DataLoader(one.data, batch_size=4)


def weighted(one):
    one.loader = DataLoader(one.data, batch_size=4, sampler=WeightedRandomSampler([1.0] * 12, 12))


@pytest.mark.parametrize(
    ("change", "now"),
    [(fewer, "10 items, shuffled"), (in_order, "12 items, in order"),
     (weighted, "12 items, by WeightedRandomSampler")],
)  # fmt: skip
def test_data_of_another_length_or_in_another_order_are_told(tmp_path, change, now):
    (told,) = gone_on(tmp_path, change)
    assert told == (
        f"the epoch under way goes on with other data in the loop 'train': {now}; it began with "
        "12, shuffled; some may be shown twice or never"
    )


def test_another_batch_size_is_no_other_data(tmp_path):
    def larger(one):
        one.loader = DataLoader(one.data, batch_size=6, shuffle=True)

    assert gone_on(tmp_path, larger) == []

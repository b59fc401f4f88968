"""A script that catches an error around its loops and begins them again loses no sample."""

from contextlib import suppress

import pytest
from torch.utils.data import DataLoader

from ckptkit.errors import DiskFullError
from ckptkit.run.policy import SavePolicy
from ckptkit.run.saver import Saver
from tests.run.small import Small, names


class Flaky:
    """A dataset on a drive that is away at one of its reads."""

    def __init__(self, data, fails_at):
        self.data, self.left = data, fails_at

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        self.left -= 1
        if self.left == 0:
            raise OSError("the drive was away")
        return self.data[index]


class Retrying(Small):
    errors = 0
    breaks_at = None  # so many batches of each epoch

    def loop(self, run, epochs, inside, tail):
        while run.epoch < epochs:
            try:
                self.once(run, epochs, inside)
            except (OSError, DiskFullError):
                self.errors += 1

    def once(self, run, epochs, inside):
        for _ in run.epochs(epochs):
            for number, batch in enumerate(run.batches(self.loader)):
                self.step(run, batch, inside)
                if number == self.breaks_at:
                    break
            run.log(val_loss=self.evaluate())


def compared(tmp_path, one, **options):
    whole = Retrying()
    whole.breaks_at = one.breaks_at
    whole.train(tmp_path / "truth", **options)
    assert (whole.errors, one.errors) == (0, 1)
    assert one.seen == whole.seen
    assert one.bits() == whole.bits()
    assert one.last.history == whole.last.history
    assert (one.last.samples, one.last.step) == (whole.last.samples, whole.last.step)
    assert names(tmp_path / "run") == names(tmp_path / "truth")


@pytest.mark.parametrize("fails_at", [1, 6, 11, 17])
def test_data_that_could_not_be_read_for_a_moment_are_trained_on_all_the_same(tmp_path, fails_at):
    one = Retrying()
    one.loader = DataLoader(Flaky(one.data, fails_at), batch_size=4, shuffle=True)
    one.train(tmp_path / "run")
    compared(tmp_path, one)


def test_where_epochs_are_left_by_break_an_error_is_still_no_end_of_one(tmp_path):
    one = Retrying()
    one.breaks_at = 1
    one.loader = DataLoader(Flaky(one.data, 14), batch_size=4, shuffle=True)  # in the second epoch
    one.train(tmp_path / "run", 2)
    assert [len(part) for part in one.seen] == [4] * 5  # it begins to count its batches anew
    assert one.last.step == 5


@pytest.mark.parametrize("save", [2, 3, 5])
def test_a_save_that_failed_for_a_moment_is_made_up_for_and_nothing_is_left_out(
    tmp_path, save, monkeypatch
):
    policy = SavePolicy(every_steps=1, best="val_loss")
    regular, calls = Saver.regular, []

    def fails_once(self, *words, **options):
        calls.append(words)
        if len(calls) == save:
            raise DiskFullError("disk", "no room is left", "some room")
        return regular(self, *words, **options)

    one = Retrying()
    with monkeypatch.context() as patch:
        patch.setattr(Saver, "regular", fails_once)
        one.train(tmp_path / "run", save=policy)
    compared(tmp_path, one, save=policy)


def test_a_stop_that_a_script_swallows_ends_the_run_all_the_same(tmp_path):
    class Swallowing(Small):
        def loop(self, run, epochs, inside, tail):
            with suppress(BaseException):  # as by a bare except
                super().loop(run, epochs, inside, tail)

    one, whole, again = Swallowing(), Small(), Small()
    whole.train(tmp_path / "truth")
    with pytest.raises(SystemExit) as caught:
        one.train(tmp_path / "run", max_time_s=0.0)
    assert caught.value.code == 85
    assert names(tmp_path / "run") == ["interrupted_checkpoint"]
    again.train(tmp_path / "run")
    assert one.seen + again.seen == whole.seen
    assert again.bits() == whole.bits()

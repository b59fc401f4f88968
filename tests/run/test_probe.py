"""A probe proves that a resume continues, and disturbs nothing."""

import pytest
import torch

from ckptkit.errors import MismatchError, SettingError
from ckptkit.run.probe import compare_probe, take_probe
from ckptkit.run.run import Run


def scene():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.ones(2, 4)

    def loss():
        return model(x).square().mean()

    return model, optimizer, loss


def train(folder, **options):
    model, optimizer, loss = scene()
    said = []
    state = {"model": model, "optimizer": optimizer}
    with Run(folder, state, resume="auto", probe=loss, tell=said.append, **options) as run:
        for _ in run.epochs(len(run.history.get("epoch", [])) + 1):
            for _ in run.batches(torch.utils.data.DataLoader(list(range(3)))):
                optimizer.zero_grad()
                loss().backward()
                optimizer.step()
    return "\n".join(said)


def test_a_resume_that_continues_says_so(tmp_path):
    train(tmp_path)
    assert "self-test: the probe gives the bits" in train(tmp_path, self_test=True)


def test_a_resume_that_does_not_continue_is_refused(tmp_path):
    train(tmp_path)
    model, optimizer, loss = scene()
    state = {"model": model, "optimizer": optimizer}
    run = Run(
        tmp_path, state, resume="auto", self_test=True, probe=lambda: loss() * 1.0001,
        tell=lambda _: None,
    )  # fmt: skip
    with pytest.raises(MismatchError, match=r"after the resume.*or resume without the self-test"):
        run.__enter__()


def test_a_self_test_without_a_probe_is_refused_before_anything_is_made(tmp_path):
    model, optimizer, _ = scene()
    with pytest.raises(SettingError, match="probe=fixed_loss, or leave self_test out"):
        Run(tmp_path / "runs", {"model": model, "optimizer": optimizer}, self_test=True)
    assert not (tmp_path / "runs").exists()


def test_a_self_test_of_a_new_run_says_that_there_is_nothing_to_compare_yet(tmp_path):
    assert "self-test: a new run has nothing to compare with yet" in train(tmp_path, self_test=True)


def test_a_checkpoint_without_a_probe_is_told_apart():
    with pytest.raises(MismatchError, match="has none"):
        compare_probe(lambda: 1.0, None)


def test_no_stream_is_disturbed_and_dropout_is_the_same_each_time():
    _, _, loss = scene()
    before = torch.get_rng_state()
    first, second = take_probe(loss), take_probe(loss)
    assert torch.equal(before, torch.get_rng_state())
    assert first == second
    assert isinstance(first["value"], float)

"""A field that nothing has is told, with the one that was meant; the rest stays quiet."""

import pytest

torch = pytest.importorskip("torch")

import ckptkit  # noqa: E402


@pytest.fixture
def run(tmp_path):
    def made():
        model = torch.nn.Linear(2, 2)
        optimizer = torch.optim.Adam(model.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
        return {"model": model, "optimizer": optimizer, "scheduler": scheduler}

    ckptkit.save(tmp_path / "c", made())
    return lambda choice: ckptkit.restore(tmp_path / "c", made(), on_conflict=choice)


@pytest.mark.parametrize("word", ["error", "current", "checkpoint"])
def test_a_field_that_nothing_has_is_told_with_the_one_that_was_meant(run, word):
    notes = [note for note in run({"T_maxx": word}).notes if "on_conflict" in note]
    assert len(notes) == 1
    assert "'T_maxx'" in notes[0]
    assert "did you mean 'T_max'?" in notes[0]


@pytest.mark.parametrize(
    "choice",
    ["current", {"T_max": "error"}, {"lr": "current", "*": "error"}, {"betas": "current"},
     {"base_lrs": "current"}, {"dropout_rate": "current"}, {"foreach": "checkpoint"}],
)  # fmt: skip
def test_fields_that_something_has_are_not_told(run, choice):
    assert not [note for note in run(choice).notes if "on_conflict" in note]


def test_an_order_of_a_nameless_optimizer_is_said_to_be_taken_not_proved(tmp_path):
    def made():
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return model, optimizer

    model, optimizer = made()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, tmp_path / "c.pt")
    model, optimizer = made()
    report = ckptkit.restore(tmp_path / "c.pt", {"model": model, "optimizer": optimizer})
    told = " ".join(report.component("optimizer").notes)
    assert "taken, because the live optimizer lists its model's order" in told
    assert "proved" not in told

"""What export writes for torch reads back as the same sections."""

import pytest

torch = pytest.importorskip("torch")

import ckptkit  # noqa: E402
from ckptkit.tree import equal  # noqa: E402
from ckptkit.verbs.diff import diff  # noqa: E402
from ckptkit.verbs.export import ExportOptions, export  # noqa: E402

COUNTS = {"epochs_completed": 3, "optimizer_steps": 12, "samples": 99}


@pytest.mark.parametrize("progress", [COUNTS, {"epochs_completed": 1}], ids=repr)
def test_progress_and_what_is_beside_it_come_back_in_their_places(progress, tmp_path):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    best = {"name": "val_loss", "mode": "min", "value": 0.5, "epoch": 2}
    state = {
        "model": model, "optimizer": optimizer, "progress": progress, "config": {"lr": 0.1},
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3),
        "rng": {"torch": torch.get_rng_state()}, "metrics": {"best": best, "latest": {"loss": 1.0}},
    }  # fmt: skip
    ckptkit.save(tmp_path / "a", state)
    export(tmp_path / "a", tmp_path / "a.pt", ExportOptions(to="torch"))
    report = diff(tmp_path / "a", tmp_path / "a.pt")
    assert report.same, (report.counts, report.settings)
    with ckptkit.load(tmp_path / "a") as one, ckptkit.load(tmp_path / "a.pt") as other:
        assert set(one.document) - {"provenance"} == set(other.document)
        for key, value in one.document["progress"].items():
            assert equal(other.document["progress"][key], value)

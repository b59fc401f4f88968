"""The notebook of the restoration: Run All is right in every scenario that the seed names."""

import copy
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

import ckptkit

NOTEBOOK = Path(__file__).parents[2] / "examples" / "restoration" / "restoration.ipynb"
TINY = {
    "epochs": 2, "patches": 24, "width": 4, "depth": 1, "patch": 32, "val_size": 32,
    "tensorboard": False, "device": "cpu",
}  # fmt: skip
PATCHED = """
import os, signal, torch
import ckptkit_trainers.restoration.train as training
real, calls = training.step, []
def step(*given):
    calls.append(1)
    if len(calls) == {number}:
        {deed}
    real(*given)
training.step = step
"""
OUT_OF_MEMORY = 'raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")'
CTRL_C = "os.kill(os.getpid(), signal.SIGINT)"
REPAIRED = "training.step = real"


class Kernel:
    """A person at a notebook: changes cells, and says Run All."""

    def __init__(self, client, folder):
        self._client, self.folder = client, folder

    def run_all(self, **changes):
        """Change values in the cells as a person does, then run them all; return the page."""
        page = copy.deepcopy(nbformat.read(NOTEBOOK, as_version=4))
        config = next(cell for cell in page.cells if "parameters" in cell.metadata.get("tags", ()))
        skip = next(cell for cell in page.cells if cell.id == "skip")
        for name, value in changes.items():
            cell, form = (skip, "SKIP_TRAINING = ") if name == "skip" else (config, f'"{name}": ')
            cell.source, found = re.subn(
                rf"({re.escape(form)})[\w.\"]+", rf"\g<1>{value!r}", cell.source
            )
            assert found == 1, name
        tiny = {name: value for name, value in TINY.items() if name not in changes}
        given = {**tiny, "data": str(self.folder / "photographs")}
        config.source += f"\nconfig |= {given!r}"
        self._client.nb = page
        for number, cell in enumerate(page.cells):
            self._client.execute_cell(cell, number)
        return page

    def close(self):
        """Forget everything, as a notebook that is closed and opened again."""
        self.do("get_ipython().reset(new_session=True)")

    def do(self, source):
        cell = nbformat.v4.new_code_cell(source)
        self._client.nb = nbformat.v4.new_notebook(cells=[cell])
        self._client.execute_cell(cell, 0)
        return text_of(cell)

    def view(self, name="latest"):
        return ckptkit.open_run(self.folder / "experiments/unet/gaussian", name)


def text_of(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def cell_of(page, name):
    return next(cell for cell in page.cells if cell.id == name)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "photographs").mkdir()
    for number in range(4):
        Image.effect_noise((48, 40), 20).save(folder / "photographs" / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            patch.setenv(name, str(folder / "jupyter"))
        patch.setenv("OMP_NUM_THREADS", "1")
        client = NotebookClient(
            nbformat.v4.new_notebook(), timeout=120, kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        )  # fmt: skip
        with client.setup_kernel():
            yield Kernel(client, folder)


def test_run_all_is_right_in_all_four_scenarios(kernel):
    """One story in one folder: trained, out of memory, stopped, looked at."""
    # fresh
    page = kernel.run_all()
    first = kernel.view()
    assert first.history["epoch"] == [1, 2]
    assert f"{first.folder.name}: 2 epochs" in text_of(cell_of(page, "view"))
    pictures = [output for cell in page.cells for output in cell.get("outputs", ())
                if "image/png" in output.get("data", {})]  # fmt: skip
    assert len(pictures) >= 3  # curves, samples of the training, a photograph denoised
    assert "<table>" in cell_of(page, "table").outputs[0]["data"]["text/html"]

    # out of memory in the second epoch of another experiment; the notebook is still open
    kernel.do(PATCHED.format(number=5, deed=OUT_OF_MEMORY))
    with pytest.raises(CellExecutionError, match="OutOfMemoryError"):
        kernel.run_all()
    kernel.do(REPAIRED)
    second = kernel.view()
    assert second.folder != first.folder
    assert (second.folder / "checkpoints" / "emergency_checkpoint_oom_epoch_2").is_dir()
    page = kernel.run_all(batch_size=4, resume_from_checkpoint=True)
    assert "emergency_checkpoint_oom_epoch_2: epoch 1, step 4" in text_of(cell_of(page, "train"))
    assert kernel.view().folder == second.folder
    assert kernel.view().history["epoch"] == [1, 2]

    # Ctrl+C in the third epoch; the kernel stays, later cells run; then a new kernel goes on
    kernel.do(PATCHED.format(number=2, deed=CTRL_C))
    page = kernel.run_all(epochs=3, resume_from_checkpoint=True)
    assert "SIGINT: saved interrupted_checkpoint at epoch 2" in text_of(cell_of(page, "train"))
    assert "2 epochs, best epoch" in text_of(cell_of(page, "view"))
    kernel.do(REPAIRED)
    kernel.close()
    page = kernel.run_all(epochs=3, resume_from_checkpoint=True)
    assert "interrupted_checkpoint: epoch 2" in text_of(cell_of(page, "train"))
    assert kernel.view().history["epoch"] == [1, 2, 3]

    # looked at, in a new kernel; the older experiment by its name
    kernel.close()
    before = sorted(kernel.view().folder.rglob("*"))
    page = kernel.run_all(resume_from_checkpoint=True, skip=True)
    assert text_of(cell_of(page, "train")).startswith("SKIP_TRAINING = True")
    known = kernel.do(
        "import json; print(json.dumps([best_epoch, best_val_loss, history['epoch']]))"
    )
    view = kernel.view()
    assert json.loads(known) == [view.best.epoch, view.best.value, [1, 2, 3]]
    assert sorted(view.folder.rglob("*")) == before
    page = kernel.run_all(
        resume_from_checkpoint=True, resume_experiment=first.folder.name, skip=True
    )
    assert f"{first.folder.name}: 2 epochs" in text_of(cell_of(page, "view"))


def test_stopped_before_the_first_validation_the_newest_checkpoint_stands_in(kernel):
    kernel.do(PATCHED.format(number=2, deed=CTRL_C))
    page = kernel.run_all()
    kernel.do(REPAIRED)
    assert "no best model yet: " in text_of(cell_of(page, "view"))


def test_the_notebook_as_it_is_kept_has_no_outputs_and_the_cells_of_the_guide():
    page = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(page)
    code = [cell for cell in page.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    source = "\n".join(cell.source for cell in code)
    for line in ('"resume_from_checkpoint": False', '"resume_experiment": "latest"',
                 "SKIP_TRAINING = False"):  # fmt: skip
        assert line in source

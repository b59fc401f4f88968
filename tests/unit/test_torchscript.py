"""TorchScript and torch.export archives: their tensors come out, their code stays text."""

import io

import pytest
import torch

from ckptkit.containers.logical import logical_source
from ckptkit.containers.probe import choose, make_probe
from ckptkit.containers.torch_zip import TorchZipContainer
from ckptkit.containers.torchscript import TorchScriptContainer
from ckptkit.errors import ContainerError
from ckptkit.types import DEFAULT_LIMITS

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        self.head = torch.nn.Linear(4, 4)
        self.head.weight = torch.nn.Parameter(torch.arange(16.0).view(4, 4))
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).t())

    def forward(self, x):
        return self.head(self.body(x)) + self.turned.sum() + torch.ones(4)


def content(tensor):
    source = logical_source(tensor)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


def open_file(path):
    probe = make_probe(path)
    return choose(probe, [TorchZipContainer(), TorchScriptContainer()]).open(
        probe, DEFAULT_LIMITS, None
    )


@pytest.fixture
def script(tmp_path):
    model = Net().eval()
    path = tmp_path / "net.pt"
    torch.jit.save(torch.jit.script(model), path)
    return path, model


def test_every_tensor_of_the_modules_has_its_dotted_name(script):
    path, model = script
    found = open_file(path)
    assert found.container == "torchscript"
    state = found.root["state_dict"]
    assert set(state) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert content(state[name]) == tensor.contiguous().numpy().tobytes(), name
    assert {check.outcome for check in found.checks()} == {"ok"}
    found.close()


def test_code_is_kept_as_text(script):
    path, _ = script
    with_code = open_file(path)
    files = dict(with_code.root["files"].items())
    code = next(blob for name, blob in files.items() if name.endswith(".py"))
    out = bytearray(code.nbytes)
    code.source.read_into(0, memoryview(out))
    assert b"def forward" in out
    assert [notice.level for notice in with_code.notices] == ["info"]
    with_code.close()


def test_a_module_that_appears_twice_is_named_twice_and_tied(tmp_path):
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Linear(2, 2)
            self.b = self.a

        def forward(self, x):
            return self.a(x) + self.b(x)

    torch.jit.save(torch.jit.script(Twice()), tmp_path / "twice.pt")
    state = open_file(tmp_path / "twice.pt").root["state_dict"]
    assert state["a.weight"].same_view() == state["b.weight"].same_view()


def test_scan_knows_every_pickle_and_raises_no_alarm(script):
    path, _ = script
    scans = list(TorchScriptContainer().scan(make_probe(path), DEFAULT_LIMITS))
    streams = {scan.stream for scan in scans}
    assert {"net/data.pkl", "net/constants.pkl"} <= streams
    assert all(scan.error is None for scan in scans)


def test_truncations_are_refused(script):
    path, _ = script
    data = path.read_bytes()
    for stop in range(100, len(data), 311):
        path.write_bytes(data[:stop])
        with pytest.raises(ContainerError):
            open_file(path)


def test_an_exported_program_shows_its_weights(tmp_path):
    model = Net().eval()
    path = tmp_path / "net.pt2"
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(model, (torch.randn(2, 3),)), buffer)
    path.write_bytes(buffer.getvalue())
    found = open_file(path)
    assert found.container == "torch-export"
    state = found.root["state_dict"]
    for name, tensor in model.state_dict().items():
        assert content(state[name]) == tensor.contiguous().numpy().tobytes(), name
    assert any(name.startswith("models/") for name in found.root["files"])
    found.close()

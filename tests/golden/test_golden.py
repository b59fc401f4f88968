"""Files that older versions wrote: they never change, and they always read as they did."""

import json
import math
import struct
from hashlib import sha256
from pathlib import Path

import pytest

from ckptkit.containers.logical import logical_source
from ckptkit.nodes import TensorNode
from ckptkit.tree import to_python, walk
from ckptkit.verbs.open import load

HERE = Path(__file__).parent
LEDGER = json.loads((HERE / "ledger.json").read_text())

WEIGHTS = {
    "embed.weight": ("float32", (2, 3), struct.pack("<6f", *range(6))),
    "head.weight": ("float32", (2, 3), struct.pack("<6f", *range(6))),
    "head.bias": ("bfloat16", (2,), b"\xc0\x3f\x00\x80"),
    "norm.num_batches_tracked": ("int64", (), struct.pack("<q", 12)),
    "empty": ("float16", (0, 4), b""),
    "turned": ("int16", (3, 2), struct.pack("<6h", 0, 3, 1, 4, 2, 5)),
}
MOMENTS = {
    "step": ("float32", (), struct.pack("<f", 70.0)),
    "exp_avg": ("float32", (2, 3), struct.pack("<6f", *[0.25] * 6)),
    "exp_avg_sq": ("float32", (2, 3), struct.pack("<6f", *[0.5] * 6)),
}
GROUP = {
    "lr": 1e-3,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
    "params": [0],
}


def facts(tensor: TensorNode):
    source = logical_source(tensor)
    content = bytearray(source.nbytes)
    source.read_into(0, memoryview(content))
    return tensor.dtype.name, tensor.shape, bytes(content)


def read(name):
    with load(HERE / name) as checkpoint:
        return to_python(checkpoint.document, facts), checkpoint


@pytest.mark.parametrize("name", sorted(LEDGER))
def test_a_golden_file_never_changes(name):
    assert sha256((HERE / name).read_bytes()).hexdigest() == LEDGER[name]


def test_the_ledger_lists_every_golden_file():
    suffixes = (".pt", ".safetensors", ".msgpack", ".txt")
    found = {p.relative_to(HERE).as_posix() for p in HERE.rglob("*") if p.suffix in suffixes}
    assert found == set(LEDGER)
    assert {name.split("/")[0] for name in LEDGER} == {"v0.pt", "v1.pt", "v2"}


def test_version_0_reads_as_the_model_with_its_tie_and_its_metadata():
    document, checkpoint = read("v0.pt")
    assert checkpoint.schema_version == 0
    assert list(document) == ["model"]
    assert dict(document["model"]) == WEIGHTS
    assert document["model"]._metadata == {"": {"version": 1}, "norm": {"version": 2}}


@pytest.mark.parametrize(("name", "version"), [("v1.pt", 1), ("v2", 2)])
def test_version_1_and_its_sealed_form_read_as_the_same_document(name, version):
    document, checkpoint = read(name)
    assert checkpoint.schema_version == version
    document.pop("provenance", None)
    assert dict(document["model"]) == WEIGHTS
    assert document["optimizer"] == {"state": {0: MOMENTS}, "param_groups": [GROUP]}
    assert document["scheduler"] == {"last_epoch": 7, "_last_lr": [1e-3], "milestones": {3, 5}}
    assert document["scaler"] == {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 70}
    assert document["progress"]["as_stored"]["epoch"] == 6
    assert document["progress"]["optimizer_steps"] == 70
    assert document["metrics"]["best"]["value"] == 0.875
    assert document["history"]["train_loss"] == [0.5, 0.25]
    assert math.isnan(document["history"]["val_loss"][1])
    config = document["config"]
    assert (config["name"], config["size"], config[7], list(config)[-1]) == (
        "gölden",
        (2, 3),
        None,
        7,
    )
    assert str(config["dtype"]) == "torch.bfloat16"


def test_ties_are_ties_in_every_version():
    for name in ("v0.pt", "v1.pt", "v2"):
        with load(HERE / name) as checkpoint:
            model = checkpoint.document["model"]
            assert model["embed.weight"].same_view() == model["head.weight"].same_view()
            tensors = {node.same_view() for _, node in walk(model) if type(node) is TensorNode}
            assert len(tensors) == 5


def test_the_official_library_reads_the_sealed_model():
    from safetensors.numpy import load_file

    stored = load_file(HERE / "v2" / "optimizer.safetensors")
    assert {len(array.tobytes()) for array in stored.values()} == {4, 24}
    from safetensors import safe_open

    with safe_open(HERE / "v2" / "model.safetensors", "np") as file:
        names = set(file.keys())
        aliases = set(file.metadata() or {})
    assert names == set(WEIGHTS) - aliases
    assert len(aliases) == 1

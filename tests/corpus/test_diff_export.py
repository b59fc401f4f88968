"""Real files: each is the same as what was migrated of it, and comes back from every form it has."""

import hashlib
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from ckptkit.containers.logical import logical_source
from ckptkit.errors import UnrepresentableError
from ckptkit.verbs.diff import DiffOptions, diff
from ckptkit.verbs.export import ExportOptions, export
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load


def sha256_of(tensor):
    data = bytearray(tensor.nbytes)
    if data:
        logical_source(tensor).read_into(0, memoryview(data))
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_the_same_as_itself_and_as_its_sealed_folder(case, tmp_path):
    path, _ = case
    target = migrate(path, tmp_path / "out").target
    for one, other in ((path, path), (path, target), (target, path)):
        report = diff(one, other, DiffOptions(verify=True))
        assert report.same, (report.counts, report.settings[:5])
        assert set(report.counts) <= {"equal"}


def test_one_byte_of_one_tensor_is_one_difference(case, tmp_path):
    path, _ = case
    target = migrate(path, tmp_path / "out").target
    with load(target) as sealed:
        victim = max(sealed.tensors(), key=lambda tensor: tensor.nbytes)
    other = migrate(path, tmp_path / "other").target
    file = other / f"{victim.path[0]}.safetensors"
    data = bytearray(file.read_bytes())
    with load(target) as sealed:
        node = next(t for t in sealed.tensors() if t.path == victim.path)
        start = data.index(node.read())
    data[start] ^= 1
    file.write_bytes(data)
    assert diff(path, other).same  # the manifest says so: nobody looked
    file_only = tmp_path / "plain.safetensors"
    file_only.write_bytes(data)
    report = diff(target, file_only, DiffOptions(sections=("model",)))
    assert report.counts.get("values", 0) == 1


def test_every_tensor_comes_back_from_a_torch_file_with_its_true_digest(case, tmp_path):
    path, truth = case
    report = export(path, tmp_path / "out.pt", ExportOptions(to="torch"))
    loaded = torch.load(tmp_path / "out.pt", weights_only=True)
    wanted = Counter(sha for *_, sha in truth["tensors"])
    with load(tmp_path / "out.pt") as again:
        found = Counter(sha256_of(tensor.node) for tensor in again.stored_tensors())
    inside_objects = [one for one in report.left_out if "kept inert" in one.what]
    if inside_objects:
        assert found <= wanted
        assert found
    else:
        assert found == wanted
    assert len(loaded) > 0


@pytest.mark.parametrize("form", ["safetensors", "hf"])
def test_the_weights_come_back_from_safetensors_and_a_sharded_folder(case, tmp_path, form):
    path, _ = case
    with load(path) as checkpoint:
        if "model" not in checkpoint.document:
            pytest.skip("a program: its weights are attributes of objects")
        wanted = {sha256_of(tensor.node) for tensor in checkpoint.tensors("model")}
    options = ExportOptions(to=form, max_shard_nbytes=1 << 20)
    try:
        export(path, tmp_path / "out", options)
    except UnrepresentableError:
        pytest.skip("a dtype that safetensors lacks")
    files = sorted((tmp_path / "out").glob("*.safetensors")) if form == "hf" else [tmp_path / "out"]
    for file in files:
        assert load_file(file)
    report = diff(path, tmp_path / "out", DiffOptions(sections=("model",)))
    assert set(report.counts) <= {"equal", "renamed", "only-a"}, report.counts
    with load(tmp_path / "out") as again:
        assert {sha256_of(tensor.node) for tensor in again.stored_tensors()} == wanted

"""The tar files of torch before 0.1.10, and everything a tar must not do."""

import collections
import io
import pickle
import struct
import tarfile

import pytest
import torch

from ckptkit.containers.logical import logical_source
from ckptkit.containers.probe import make_probe
from ckptkit.containers.tar_index import is_tar_header
from ckptkit.containers.torch_tar import TorchTarContainer
from ckptkit.errors import (
    ContainerError,
    CorruptFileError,
    ForeignFormatError,
    PickleStreamError,
    TensorBoundsError,
    UnsafePathError,
)
from ckptkit.types import DEFAULT_LIMITS
from tests.attacks import build_legacy as g
from tests.attacks import build_pickle as b

CONTAINER = TorchTarContainer()


@pytest.fixture
def opened(tmp_path):
    done = []

    def run(data):
        path = tmp_path / f"file{len(done)}.bin"
        path.write_bytes(data)
        probe = make_probe(path)
        assert CONTAINER.matches(probe)
        done.append(CONTAINER.open(probe, DEFAULT_LIMITS, None))
        return done[-1]

    yield run
    for one in done:
        one.close()


def content(tensor):
    source = logical_source(tensor)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


class OldPickler(pickle.Pickler):
    """Names tensors by their key, as torch 0.1.9 did."""

    def persistent_id(self, value):
        return str({12: 10, 2: 11}[value.numel()]) if isinstance(value, torch.Tensor) else None


def old_file(tar_format=tarfile.PAX_FORMAT):
    """A file as torch.serialization wrote it then; torch still reads it."""
    base = torch.arange(12.0)
    storages, tensors, value = io.BytesIO(), io.BytesIO(), io.BytesIO()
    for item in (1, (5, "cpu", torch.FloatStorage)):
        pickle.dump(item, storages, protocol=2)
    storages.write(struct.pack("<q", 12) + base.numpy().tobytes())
    pickle.dump([(6, 5, 4, 8)], storages, protocol=2)
    pickle.dump(2, tensors, protocol=2)
    pickle.dump((10, 5, torch.FloatTensor), tensors, protocol=2)
    tensors.write(struct.pack("<i4x2q2qq", 2, 3, 4, 4, 1, 0))
    pickle.dump((11, 6, torch.FloatTensor), tensors, protocol=2)
    tensors.write(struct.pack("<i4x1q1qq", 1, 2, 2, 1))
    state = collections.OrderedDict(w=base.view(3, 4), v=base[5:9:2], epoch=3)
    OldPickler(value, protocol=2).dump(state)
    members = {"sys_info": g.SYSTEM, "pickle": value.getvalue()}
    members |= {"tensors": tensors.getvalue(), "storages": storages.getvalue()}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tar_format) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1480000000.25  # what tar.add makes of a file
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue(), state


@pytest.mark.parametrize(
    "tar_format", [tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT]
)
def test_an_old_file_is_read_as_torch_reads_it(opened, tmp_path, tar_format):
    data, state = old_file(tar_format)
    (tmp_path / "old.tar").write_bytes(data)
    torch_reads = torch.load(tmp_path / "old.tar", weights_only=False)
    found = opened(data).root
    assert list(found) == list(torch_reads) == list(state)
    for name in ("w", "v"):
        assert content(found[name]) == torch_reads[name].contiguous().numpy().tobytes()
    assert found["v"].storage is found["w"].storage
    assert found["epoch"] == 3


def test_checks_and_scan_know_every_part(opened, tmp_path):
    data, _ = old_file()
    found = opened(data)
    assert [check.outcome for check in found.checks()] == ["unverifiable"]
    scans = list(CONTAINER.scan(make_probe(tmp_path / "file0.bin"), DEFAULT_LIMITS))
    assert {use.qualname for scan in scans for use in scan.uses} == {
        "OrderedDict",
        "FloatTensor",
        "FloatStorage",
    }
    assert all(scan.error is None for scan in scans)


def link(name, kind, target="x"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(opened, kind):
    with pytest.raises(UnsafePathError):
        opened(g.write_tar(g.tar_members(), [link("innocent", kind)]))


@pytest.mark.parametrize("name", ["../pickle", "/etc/passwd", "a/../../b", "a\\b", "a\nb"])
def test_names_that_leave_the_archive_are_refused(opened, name):
    with pytest.raises(UnsafePathError):
        opened(g.write_tar({**g.tar_members(), name: b"x"}))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"storages": g.tar_storages(count=2)}, ContainerError),
        ({"storages": g.tar_storages(count=-1)}, CorruptFileError),
        ({"storages": g.tar_storages(((1, 5, g.FOUR_FLOATS),))}, ContainerError),
        ({"storages": g.tar_storages(((1, -1, g.FOUR_FLOATS),))}, CorruptFileError),
        ({"storages": g.tar_storages(kind=b.name("os", "system"))}, CorruptFileError),
        ({"storages": g.tar_storages(views=[(9, 1, 2, 3)])}, CorruptFileError),
        ({"storages": g.tar_storages(views=[(9, 7, 0, 1)])}, CorruptFileError),
        ({"tensors": g.tar_tensors(((2, 1, (5,), (1,), 0),))}, TensorBoundsError),
        ({"tensors": g.tar_tensors(((2, 1, (4,), (1,), -1),))}, TensorBoundsError),
        ({"tensors": g.tar_tensors(((2, 9, (4,), (1,), 0),))}, CorruptFileError),
        ({"tensors": g.tar_tensors(ndim=-1)}, CorruptFileError),
        ({"tensors": g.tar_tensors(ndim=1 << 30)}, CorruptFileError),
        ({"tensors": g.tar_tensors(count=5)}, ContainerError),
        ({"pickle": b"\x80\x02\xff."}, PickleStreamError),
    ],
)
def test_members_that_contradict_each_other_are_refused(opened, change, kind):
    with pytest.raises(kind):
        opened(g.write_tar(g.tar_members(**change)))


def test_another_tar_is_called_one(opened):
    with pytest.raises(ForeignFormatError, match="tar archive of 1 files"):
        opened(g.write_tar({"model.ckpt": b"x"}))


def test_the_same_name_twice_is_refused(opened):
    twice = g.write_tar({"pickle": g.TAR_PICKLE})[:1024] + g.write_tar(g.tar_members())
    with pytest.raises(CorruptFileError, match="two members"):
        opened(twice)


def test_a_header_that_renames_the_next_member_is_refused(opened):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("innocent")
        info.pax_headers = {"path": "pickle"}
        tar.addfile(info)
    with pytest.raises(CorruptFileError, match="renames"):
        opened(out.getvalue() + g.write_tar(g.tar_members()))


def test_a_false_checksum_makes_no_tar():
    header = bytearray(g.write_tar(g.tar_members())[:512])
    assert is_tar_header(bytes(header))
    header[0] ^= 1
    assert not is_tar_header(bytes(header))


def test_every_truncation_is_refused_or_only_padding(opened):
    data = g.write_tar(g.tar_members())
    end = max(i for i, byte in enumerate(data) if byte) + 1
    for stop in range(512, end, 97):
        with pytest.raises((ContainerError, ForeignFormatError)):
            opened(data[:stop])


@pytest.mark.parametrize("member", ["sys_info", "pickle", "tensors", "storages", "bystander"])
def test_a_payload_in_any_member_is_found(tmp_path, member):
    evil = b.stream(b.call(b.name("posix", "system"), "echo hello"))
    path = tmp_path / "evil.tar"
    path.write_bytes(g.write_tar({**g.tar_members(), member: evil}))
    names = {
        u.qualname for scan in CONTAINER.scan(make_probe(path), DEFAULT_LIMITS) for u in scan.uses
    }
    assert "system" in names

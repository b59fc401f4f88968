"""The legacy pickle stack, as torch.save still writes it and as it should not be."""

import io

import pytest
import torch

from ckptkit.containers import pickle_window
from ckptkit.containers.logical import logical_source
from ckptkit.containers.pickle_window import PickleWindow
from ckptkit.containers.probe import make_probe
from ckptkit.containers.torch_legacy import TorchLegacyContainer
from ckptkit.errors import ContainerError, CorruptFileError, TruncatedFileError
from ckptkit.types import DEFAULT_LIMITS
from tests.attacks import build_legacy as g
from tests.attacks import build_pickle as b

CONTAINER = TorchLegacyContainer()


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


def saved(value, protocol=2):
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    return out.getvalue()


def content(tensor):
    source = logical_source(tensor)
    out = bytearray(source.nbytes)
    source.read_into(0, memoryview(out))
    return bytes(out)


STATE = {"w": torch.arange(6.0).view(2, 3).t(), "n": torch.arange(3), "h": torch.ones(2).half()}


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_protocol_is_read(opened, protocol):
    found = opened(saved(STATE, protocol))
    for name, tensor in STATE.items():
        assert content(found.root[name]) == tensor.contiguous().numpy().tobytes()
    assert found.notices == ()
    assert {check.outcome for check in found.checks()} == {"unverifiable"}


def test_protocol_0_is_read_where_it_holds_no_tensor(opened):
    assert opened(saved({"epoch": 3, "done": True}, 0)).root["epoch"] == 3


def test_no_tensor_is_read_on_opening(opened, monkeypatch):
    monkeypatch.setattr(pickle_window, "_FIRST_WINDOW_NBYTES", 4096)
    windows = []
    hold = PickleWindow._hold
    monkeypatch.setattr(
        PickleWindow, "_hold", lambda self, n: (hold(self, n), windows.append(len(self._data)))[0]
    )
    opened(saved({"big": torch.ones(1 << 20)}))
    assert max(windows) < 10_000


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_window_that_ends_anywhere_is_widened(opened, monkeypatch, protocol):
    state = {f"layer.{i}.weight": torch.full((3,), float(i)) for i in range(40)}
    data = saved(state, protocol)
    for nbytes in (1, 50, 333, 1000, 2000):
        monkeypatch.setattr(pickle_window, "_FIRST_WINDOW_NBYTES", nbytes)
        monkeypatch.setattr(pickle_window, "_GROWTH", 2)
        found = opened(data)
        assert [content(found.root[name]) for name in state] == [
            t.numpy().tobytes() for t in state.values()
        ]
        assert (
            sum(use.times for use in found.scans[3].uses if use.qualname == "_rebuild_tensor_v2")
            == 40
        )


def test_views_of_old_files_stay_in_their_storage(opened):
    view = b.tensor(g.legacy_storage(view=("9", 1, 3)), size=(3,))
    found = opened(g.legacy(b.state_dict(all=b.tensor(g.legacy_storage()), part=view)))
    assert content(found.root["part"]) == g.FOUR_FLOATS[4:]
    assert found.root["part"].storage is found.root["all"].storage


def test_a_view_beyond_its_storage_is_refused(opened):
    view = b.tensor(g.legacy_storage(view=("9", 2, 3)), size=(3,))
    with pytest.raises(ContainerError):
        opened(g.legacy(b.state_dict(part=view)))


def test_a_module_keeps_its_source_as_text(opened):
    found = opened(saved(torch.nn.Linear(2, 3)))
    sources = found.properties["class_sources"]
    assert "class Linear(Module)" in sources["torch.nn.modules.linear.Linear"]["source"]
    assert found.root.name.qualname == "Linear"


def test_trailing_bytes_are_mentioned(opened):
    assert [n.code for n in opened(saved(STATE) + b"more").notices] == ["trailing-bytes"]


def test_an_appended_archive_is_a_polyglot(opened):
    from tests.attacks.build_zip import torch_zip

    assert "polyglot" in [n.code for n in opened(saved(STATE) + torch_zip()).notices]


def test_every_truncation_is_refused(opened):
    data = saved(STATE)
    for stop in range(len(data) - 1, 20, -7):
        with pytest.raises(ContainerError):
            opened(data[:stop])


def test_a_short_storage_is_called_short(opened):
    with pytest.raises(TruncatedFileError, match="storage"):
        opened(saved(STATE)[:-1])


@pytest.mark.parametrize("keys", [["0", "1"], [], ["1"], ["0", "0"], [0], "0", None])
def test_a_list_of_keys_that_is_not_the_objects_is_refused(opened, keys):
    with pytest.raises(CorruptFileError):
        opened(g.legacy(keys=b.stream(b.const(keys))))


def test_a_payload_in_any_of_the_five_pickles_is_found(tmp_path):
    evil = b.stream(b.call(b.name("posix", "system"), "echo hello"))
    honest = [g.MAGIC, g.VERSION, g.SYSTEM, g.legacy_pickle(), b.stream(b.const(["0"]))]
    for place in range(1, 5):
        path = tmp_path / f"{place}.pt"
        path.write_bytes(b"".join([*honest[:place], evil, *honest[place + 1 :]]))
        names = {
            u.qualname
            for scan in CONTAINER.scan(make_probe(path), DEFAULT_LIMITS)
            for u in scan.uses
        }
        assert "system" in names, place


def test_a_payload_behind_a_broken_pickle_is_found(tmp_path):
    evil = b.stream(b.call(b.name("posix", "system"), "echo hello"))
    path = tmp_path / "broken.pt"
    path.write_bytes(g.MAGIC + g.VERSION + b"\x80\x02\xff\xff" + evil)
    names = {
        u.qualname for scan in CONTAINER.scan(make_probe(path), DEFAULT_LIMITS) for u in scan.uses
    }
    assert "system" in names

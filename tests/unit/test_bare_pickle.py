"""Pickles without a container: of every protocol, several in a row, and what is none."""

import collections
import pickle

import pytest

from ckptkit.containers.bare_pickle import BarePickleContainer
from ckptkit.containers.prefixed_zip import PrefixedZipContainer
from ckptkit.containers.probe import make_probe
from ckptkit.errors import ContainerError, CorruptFileError
from ckptkit.nodes import SeqNode
from ckptkit.types import DEFAULT_LIMITS
from tests.attacks import build_pickle as b
from tests.attacks.build_zip import torch_zip

CONTAINER = BarePickleContainer()
VALUE = {"epoch": 3, "lr": 0.5, "ok": True, "names": collections.OrderedDict(a=[None, "x"])}
EVIL = b.stream(b.call(b.name("posix", "system"), "echo hello"))


@pytest.fixture
def probe(tmp_path):
    def make(data):
        path = tmp_path / "file.pkl"
        path.write_bytes(data)
        return make_probe(path)

    return make


@pytest.fixture
def opened(probe):
    done = []

    def run(data):
        found = probe(data)
        assert CONTAINER.matches(found)
        done.append(CONTAINER.open(found, DEFAULT_LIMITS, None))
        return done[-1]

    yield run
    for one in done:
        one.close()


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(opened, protocol):
    found = opened(pickle.dumps(VALUE, protocol))
    assert found.root["epoch"] == 3
    assert found.root["ok"] is True
    assert found.root["names"]["a"].items == [None, "x"]
    assert found.notices == ()


@pytest.mark.parametrize("value", [None, 5, 1.5, "text", b"bytes", [], {}, (1, 2), [1], {"a": 1}])
@pytest.mark.parametrize("protocol", range(6))
def test_small_values_are_recognised(probe, opened, value, protocol):
    opened(pickle.dumps(value, protocol))


def test_pickles_in_a_row_are_all_kept(opened):
    found = opened(pickle.dumps(1, 2) + pickle.dumps("two", 4) + pickle.dumps([3], 0))
    assert isinstance(found.root, SeqNode)
    assert found.root.items[:2] == [1, "two"]
    assert [notice.code for notice in found.notices] == ["several-pickles"]


def test_bytes_behind_the_pickle_are_mentioned(opened):
    found = opened(pickle.dumps(VALUE) + b"\x00" * 9)
    assert [notice.code for notice in found.notices] == ["trailing-bytes"]
    assert found.root["epoch"] == 3


def test_an_appended_archive_is_a_polyglot_and_scanned(opened, probe):
    data = pickle.dumps(VALUE) + torch_zip(EVIL)
    assert "polyglot" in [notice.code for notice in opened(data).notices]
    names = {u.qualname for scan in CONTAINER.scan(probe(data), DEFAULT_LIMITS) for u in scan.uses}
    assert "system" in names


@pytest.mark.parametrize(
    "data",
    [
        b"(c)opyright 2024\n(see LICENSE)\n",
        b"class Linear(Module):\n  weight : Tensor\n",
        b"import os\nprint(1)\n",
        b"Loss: 3\nLoss: 2\n",
        b"I like it\n",
        b"{}\n",
        b"[]\n",
        b"N/A\n",
        b"version: 1\n",
    ],
)
def test_text_is_no_pickle(probe, data):
    assert not CONTAINER.matches(probe(data))


@pytest.mark.parametrize(
    "data",
    [
        EVIL,
        b"cposix\nsystem\n(S'echo hello'\ntR.",
        b"(iposix\nsystem\n.",
        b"cposix\nsystem\n(S'echo hello'\ntR",
        pickle.dumps(VALUE) + EVIL,
        pickle.dumps(VALUE) + b"junk" + EVIL,
        pickle.dumps(VALUE) * 3 + EVIL,
        pickle.dumps({"inner": EVIL}),
        pickle.dumps({"inner": pickle.dumps([EVIL])}),
        b"\x80\x02\xff" + EVIL,
    ],
    ids=[
        "plain",
        "text",
        "inst",
        "no-stop",
        "second",
        "behind-junk",
        "fourth",
        "inside",
        "twice-inside",
        "broken",
    ],
)
def test_a_payload_is_found_wherever_it_hides(probe, data):
    found = probe(data)
    assert CONTAINER.matches(found)
    names = {u.qualname for scan in CONTAINER.scan(found, DEFAULT_LIMITS) for u in scan.uses}
    assert "system" in names


def test_truncations_are_refused(opened):
    data = pickle.dumps(VALUE, 4)
    for stop in range(3, len(data)):
        with pytest.raises(ContainerError):
            opened(data[:stop])


def test_an_archive_behind_other_bytes_is_refused_but_scanned(probe):
    container = PrefixedZipContainer()
    found = probe(b"#!/bin/sh\n" + torch_zip(EVIL))
    assert container.matches(found)
    with pytest.raises(CorruptFileError, match="begins at byte 10"):
        container.open(found, DEFAULT_LIMITS, None)
    names = {u.qualname for scan in container.scan(found, DEFAULT_LIMITS) for u in scan.uses}
    assert "system" in names
    assert not container.matches(probe(b"#!/bin/sh\nexit 0\n"))

"""A copy of the state on which a background save works: exact, apart from the live one, and tied."""

import numpy as np
import pytest
import torch

from ckptkit.containers.logical import logical_source
from ckptkit.errors import CorruptFileError
from ckptkit.nodes import TensorNode
from ckptkit.run import staging
from ckptkit.run.staging import Staging
from ckptkit.torch_bridge.capture import capture_state
from ckptkit.tree import walk


def capture(**tensors):
    return capture_state({"model": tensors}).document


def tensors_of(document):
    return {path[-1]: node for path, node in walk(document) if type(node) is TensorNode}


def stored(node):
    out = bytearray(node.nbytes)
    logical_source(node).read_into(0, memoryview(out))
    return bytes(out)


def as_bytes(tensor):
    return tensor.detach().resolve_conj().resolve_neg().contiguous().numpy().tobytes()


def odd_tensors():
    torch.manual_seed(0)
    large = torch.randn(1 << 16)
    fixed = np.arange(1 << 15, dtype=np.int64)
    fixed.flags.writeable = False
    return {
        "large": large,
        "turned": torch.randn(300, 200).T,
        "every_other": torch.randn(1000)[::2],
        "conjugate": torch.randn(64, dtype=torch.complex64).conj(),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "part": large[17:30_000],
        "read_only": fixed,
    }


@pytest.mark.parametrize("piece_nbytes", [100, 8 << 20])
@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_staged_is_what_was_live_however_it_lay_and_whatever_happens_to_it_then(
    monkeypatch, piece_nbytes, threads
):
    monkeypatch.setattr(staging, "_PIECE_NBYTES", piece_nbytes)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    live = odd_tensors()
    if piece_nbytes == 100:  # these would be many thousand pieces
        live = {name: live[name] for name in ("every_other", "conjugate", "scalar", "empty")}
    wanted = {n: v.tobytes() if n == "read_only" else as_bytes(v) for n, v in live.items()}
    document = capture(**live)
    Staging().take(document)
    for name, value in live.items():
        if name != "read_only":
            value.zero_()
    assert {name: stored(node) for name, node in tensors_of(document).items()} == wanted


def test_ties_are_copied_once_and_stay_tied():
    weight = torch.randn(1000)
    document = capture(one=weight, other=weight)
    copied = Staging().take(document)
    one, other = tensors_of(document).values()
    assert one.storage is other.storage
    assert copied < 2 * weight.numel() * 4


def test_the_memory_of_the_first_save_is_used_again():
    kept = Staging()
    kept.take(capture(a=torch.randn(5000)))
    first = kept._buffer.data_ptr()
    kept.take(capture(a=torch.randn(5000)))
    assert kept._buffer.data_ptr() == first


def test_a_source_that_cannot_be_read_fails_the_save_not_only_a_thread(monkeypatch):
    def broken(piece):
        raise CorruptFileError("a tensor", "cannot be read")

    monkeypatch.setattr(staging, "_copy", broken)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(CorruptFileError):
        Staging().take(capture(a=torch.randn(5000), b=torch.randn(5000)))

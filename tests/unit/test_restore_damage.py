"""Damage is found on the way, named, and said to have left the objects half filled."""

import pytest
import torch
from torch import nn

import ckptkit
from ckptkit.errors import ChecksumError, ContainerError

LARGE = 300  # 300 x 300 floats are more than what is read with its neighbours


def net():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {"small": nn.Linear(3, 3), "large": nn.Linear(LARGE, LARGE), "low": nn.Linear(9, 9).half()}
    )


def flip(file, offset):
    data = bytearray(file.read_bytes())
    data[offset] ^= 0x10
    file.write_bytes(data)


def offset_of(file, tensor):
    """Where the bytes of a tensor lie in a file: they are there once."""
    data = file.read_bytes()
    wanted = tensor.detach().contiguous().numpy().tobytes()
    assert data.count(wanted) == 1
    return data.index(wanted)


@pytest.mark.parametrize("name", ["small.weight", "large.weight", "low.bias"])
@pytest.mark.parametrize("cast", [False, True])
def test_a_flipped_bit_of_a_sealed_checkpoint_is_found_and_named(tmp_path, name, cast):
    ckptkit.save(tmp_path / "x", {"model": net()})
    file = tmp_path / "x" / "model.safetensors"
    flip(file, offset_of(file, net().get_parameter(name)) + 5)
    live = net().double() if cast else net()
    with pytest.raises(ChecksumError, match=f"model/{name}.*partly filled.*must not be trained"):
        ckptkit.restore(tmp_path / "x", {"model": live})


@pytest.mark.parametrize("name", ["small.weight", "large.weight"])
def test_a_flipped_bit_of_a_torch_file_is_found_by_its_crc(tmp_path, name):
    torch.save(net().state_dict(), tmp_path / "x.pt")
    flip(tmp_path / "x.pt", offset_of(tmp_path / "x.pt", net().get_parameter(name)) + 5)
    with pytest.raises(ChecksumError, match=r"CRC-32.*partly filled"):
        ckptkit.restore(tmp_path / "x.pt", {"model": net()})


def test_damage_in_what_nobody_takes_is_none_of_our_business(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": net(), "extra": {"t": torch.arange(7.0)}})
    file = tmp_path / "x" / "extra.safetensors"
    flip(file, offset_of(file, torch.arange(7.0)))
    assert ckptkit.restore(tmp_path / "x", {"model": net()}).ok


@pytest.mark.parametrize("on_shape", ["slice", lambda name, stored, live: live])
def test_what_is_only_read_in_part_is_checked_whole(tmp_path, on_shape):
    ckptkit.save(tmp_path / "x", {"model": nn.Linear(4, 4)})
    file = tmp_path / "x" / "model.safetensors"
    flip(file, file.stat().st_size - 1)
    with pytest.raises(ChecksumError, match=r"partly filled|damaged"):
        ckptkit.restore(tmp_path / "x", {"model": nn.Linear(2, 2)}, on_shape=on_shape)


def test_a_damaged_mask_is_found_although_it_is_only_multiplied_in(tmp_path):
    from torch.nn.utils import prune

    pruned = nn.Linear(8, 8, bias=False)
    prune.random_unstructured(pruned, "weight", amount=0.5)
    ckptkit.save(tmp_path / "x", {"model": pruned})
    file = tmp_path / "x" / "model.safetensors"
    flip(file, offset_of(file, pruned.weight_mask) + 3)
    with pytest.raises(ChecksumError, match="partly filled"):
        ckptkit.restore(tmp_path / "x", {"model": nn.Linear(8, 8, bias=False)})


def test_damage_below_a_module_that_loads_itself_is_found(tmp_path):
    class Own(nn.Linear):
        def load_state_dict(self, state, strict=True):
            return super().load_state_dict(state, strict=strict)

    ckptkit.save(tmp_path / "x", {"model": nn.ModuleDict({"own": Own(4, 4)})})
    file = tmp_path / "x" / "model.safetensors"
    flip(file, file.stat().st_size - 1)
    live = nn.ModuleDict({"own": Own(4, 4)})
    before = live["own"].weight.clone()
    with pytest.raises(ChecksumError, match=r"model/own\..*damaged"):
        ckptkit.restore(tmp_path / "x", {"model": live})
    assert torch.equal(live["own"].weight, before)


def test_a_file_that_shrinks_between_plan_and_read_is_told_plainly(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": net()})
    file = tmp_path / "x" / "model.safetensors"
    with ckptkit.load(tmp_path / "x") as checkpoint:
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(ContainerError):
            ckptkit.restore(checkpoint, {"model": net()})


def test_a_section_asked_for_as_values_is_checked_too(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": nn.Linear(4, 4)})
    file = tmp_path / "x" / "model.safetensors"
    with ckptkit.load(tmp_path / "x") as checkpoint:
        assert checkpoint.state("model").keys() == {"weight", "bias"}
        flip(file, file.stat().st_size - 1)
        with pytest.raises(ChecksumError, match="model/"):
            checkpoint.state("model")
        with pytest.raises(KeyError):
            checkpoint.state("nonsense")


def test_an_error_in_the_middle_carries_the_warning_along(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": net()})

    def fail(nbytes):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        ckptkit.restore(tmp_path / "x", {"model": net()}, progress=fail)
    assert "partly filled" in "".join(caught.value.__notes__)

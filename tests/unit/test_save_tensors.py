"""Every kind of tensor is saved from where it lies, to the bit; what is not whole is refused."""

import numpy as np
import pytest
import torch

import ckptkit
from ckptkit.errors import UnrepresentableError
from ckptkit.torch_bridge.live_bytes import BLOCK_NBYTES, DeviceBytes, GatheredBytes
from ckptkit.types import DTYPES
from tests.unit.saved_values import bytes_of, names_in, restored, save_plain


def saved_node(tmp_path, value):
    save_plain(tmp_path / "c", {"extra": {"t": value}})
    return ckptkit.load(tmp_path / "c").document["extra"]["t"]


def raw(tensor):
    """The bytes of a tensor in row-major order, by torch's own copy."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes()


BASE = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
COMPLEX = torch.complex(BASE[0], -BASE[0])
VIEWS = {
    "contiguous": BASE,
    "channels_last": BASE.contiguous(memory_format=torch.channels_last),
    "transposed": BASE.transpose(0, 3),
    "permuted": BASE.permute(2, 0, 3, 1),
    "stepped": BASE[:, ::2, 1:, ::3],
    "column": BASE[..., 2],
    "expanded": torch.arange(3.0).reshape(3, 1).expand(3, 7),
    "scalar": torch.tensor(3.5),
    "expanded scalar": torch.tensor(2.0).expand(4, 3),
    "empty": torch.empty(0, 3),
    "empty view": BASE[:, 3:3],
    "conjugated": COMPLEX.conj(),
    "negated": COMPLEX.conj().imag,
    "conjugated and transposed": COMPLEX.conj().transpose(0, 2),
    "double complex": COMPLEX.to(torch.complex128).transpose(0, 1),
    "tail": BASE.flatten()[100:],
    "ones": BASE[:1, :1, :1, :1],
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_saved_with_its_own_bytes(tmp_path, name):
    view = VIEWS[name]
    node = saved_node(tmp_path, view)
    assert node.shape == tuple(view.shape)
    assert bytes_of(node) == raw(view)
    assert ckptkit.verify(tmp_path / "c").verdict == "verified"


@pytest.mark.parametrize("name", [n for n in DTYPES if n not in ("quint4x2", "quint2x4")])
@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_every_dtype_is_saved_to_the_bit(tmp_path, name, strided):
    dtype = DTYPES[name]
    torch_dtype = getattr(torch, name)
    data = bytes(i * 7 % 251 for i in range(24 * dtype.nbytes))
    if dtype.kind == "b":
        data = bytes(byte & 1 for byte in data)
    if dtype.kind == "q":
        tensor = torch._empty_affine_quantized((4, 6), scale=0.5, zero_point=1, dtype=torch_dtype)
    else:
        tensor = torch.empty((4, 6), dtype=torch_dtype)
    torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).copy_(
        torch.frombuffer(bytearray(data), dtype=torch.uint8)
    )
    node = saved_node(tmp_path, tensor.t() if strided else tensor)
    item = dtype.nbytes
    items = [data[i * item : (i + 1) * item] for i in range(24)]
    expected = [items[r * 6 + c] for c in range(6) for r in range(4)] if strided else items
    assert node.dtype == dtype
    assert bytes_of(node) == b"".join(expected)


def test_a_large_strided_tensor_is_gathered_block_by_block(tmp_path):
    large = torch.randn(3, 700, 600)  # 5 MB: several blocks, rows that straddle them
    for view in (large.permute(2, 0, 1), large.permute(1, 2, 0), large[:, ::3].transpose(0, 2)):
        node = saved_node(tmp_path, view)
        assert bytes_of(node) == raw(view)
    wide = torch.randn(2, BLOCK_NBYTES // 2).t()  # one row of the last axis is small
    assert bytes_of(saved_node(tmp_path, wide)) == raw(wide)
    long = torch.randn(BLOCK_NBYTES, 2)[:, 0].reshape(1, -1)  # one row is four blocks
    assert bytes_of(saved_node(tmp_path, long)) == raw(long)


@pytest.mark.parametrize(("offset", "nbytes"), [(0, 10), (3, 977), (5_000, 1), (4_001, 2_000)])
def test_gathered_bytes_are_read_from_anywhere(offset, nbytes):
    view = torch.arange(20 * 30 * 10, dtype=torch.int16).reshape(20, 30, 10).permute(2, 0, 1)
    out = bytearray(nbytes)
    GatheredBytes(view).read_into(offset, memoryview(out))
    assert bytes(out) == raw(view)[offset : offset + nbytes]


def test_what_lies_on_a_device_is_fetched_through_a_staging_buffer():
    tensor = torch.arange(700_000, dtype=torch.float32)  # the path does not ask which device it is
    source = DeviceBytes(tensor.untyped_storage(), tensor.nbytes)
    out = bytearray(2_000_001)
    source.read_into(7, memoryview(out))
    assert bytes(out) == raw(tensor)[7 : 7 + len(out)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_tensors_of_an_accelerator_are_saved(tmp_path):
    tensor = torch.randn(3000, 500, device="cuda")
    node = saved_node(tmp_path, [tensor, tensor.t(), tensor[5:]])
    assert [bytes_of(one) for one in node.items] == [
        raw(t.cpu()) for t in (tensor, tensor.t(), tensor[5:])
    ]
    assert node.items[0].storage.device == "cuda:0"


def test_tied_tensors_are_stored_once(tmp_path):
    model = torch.nn.ModuleDict(
        {"embed": torch.nn.Embedding(50, 8), "head": torch.nn.Linear(8, 50)}
    )
    model["head"].weight = model["embed"].weight
    report = save_plain(
        tmp_path / "c", {"model": model, "extra": {"w": model["embed"].weight.data}}
    )
    assert report.tensors == 2
    again = restored(tmp_path / "c")
    assert again["model"]["head.weight"] is again["model"]["embed.weight"]
    assert again["extra"]["w"].data_ptr() == again["model"]["embed.weight"].data_ptr()


def test_a_view_costs_its_own_bytes_and_not_its_storage(tmp_path):
    report = save_plain(tmp_path / "c", {"extra": {"row": torch.randn(1000, 1000)[3]}})
    assert report.tensor_nbytes == 4000
    assert report.written_nbytes < 6000


def test_views_that_share_a_storage_share_it_again(tmp_path):
    base = torch.randn(10)
    save_plain(tmp_path / "c", {"extra": {"a": base[:6], "b": base[4:]}})
    manifest = ckptkit.load(tmp_path / "c").sealed.manifest
    assert manifest.tensors.shared == ((40, ((0, 0), (1, 4))),)


def test_empty_tensors_are_no_ties(tmp_path):
    report = save_plain(tmp_path / "c", {"extra": [torch.empty(0), torch.empty(0)]})
    assert report.tensors == 2


def test_meta_tensors_have_no_bytes(tmp_path):
    node = saved_node(tmp_path, torch.empty(5, 3, device="meta"))
    assert (node.flavour, node.shape) == ("meta", (5, 3))
    assert names_in(tmp_path / "c") == {"manifest.msgpack"}


SPARSE = {
    "coo": lambda: torch.tensor([[0, 1.5], [2.5, 0]]).to_sparse(),
    "uncoalesced": lambda: torch.sparse_coo_tensor(
        [[0, 0]], [1.0, 2.0], (3,), check_invariants=True
    ),
    "csr": lambda: torch.eye(4).to_sparse_csr(),
    "csc": lambda: torch.eye(4).to_sparse_csc(),
    "bsr": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
    "bsc": lambda: torch.eye(4).to_sparse_bsc((2, 2)),
    "hybrid": lambda: torch.eye(6).reshape(2, 3, 6).to_sparse(1),
    "parameter": lambda: torch.nn.Parameter(torch.eye(3).to_sparse()),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_tensors_come_back(tmp_path, kind):
    tensor = SPARSE[kind]()
    save_plain(tmp_path / "c", {"extra": {"t": tensor}})
    again = restored(tmp_path / "c")["extra"]["t"]
    assert again.layout == tensor.layout
    assert type(again) is type(tensor)
    assert torch.equal(again.detach().to_dense(), tensor.detach().to_dense())
    if tensor.layout is torch.sparse_coo:
        assert again.is_coalesced() == tensor.is_coalesced()


@pytest.mark.filterwarnings("ignore")
def test_quantized_tensors_come_back(tmp_path):
    values = torch.randn(3, 4)
    tensors = [
        torch.quantize_per_tensor(values, 0.1, 3, torch.quint8),
        torch.quantize_per_tensor(values, 0.1, 0, torch.qint32).t(),
        torch.quantize_per_channel(
            values, torch.rand(4) + 0.1, torch.zeros(4, dtype=torch.long), 1, torch.qint8
        ),
    ]
    save_plain(tmp_path / "c", {"extra": tensors})
    for one, other in zip(restored(tmp_path / "c")["extra"], tensors, strict=True):
        assert torch.equal(one.int_repr(), other.int_repr())
        assert torch.equal(one.dequantize(), other.dequantize())


def test_arrays_of_every_layout_come_back(tmp_path):
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = [
        base, base.T, base[:, ::-1], base[..., 1], np.asfortranarray(base), np.array(3.0),
        np.arange(5, dtype=">i4")[::2], np.array(["a", "bcd"]), np.zeros((0, 2)),
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), np.array(["2024-02-29"], "M8[D]"),
        np.broadcast_to(np.arange(3), (2, 3)), np.arange(3) > 1, np.ones(2, np.complex128),
    ]  # fmt: skip
    save_plain(tmp_path / "c", {"extra": arrays})
    for one, other in zip(restored(tmp_path / "c")["extra"], arrays, strict=True):
        assert type(one) is np.ndarray
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


# -- refusals -----------------------------------------------------------------------------------


class Wrapped(torch.Tensor):
    """A class of somebody's own."""


def freed():
    tensor = torch.randn(100)
    tensor.untyped_storage().resize_(0)
    return tensor


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.nn.LazyLinear(3), "forward pass"),
        (lambda: {"t": torch.zeros(2).as_subclass(Wrapped)}, "Wrapped"),
        (lambda: {"t": freed()}, "gather it"),
        (lambda: {"t": np.array([object()])}, "extra/t"),
        (lambda: {"t": np.ma.masked_array([1])}, "MaskedArray"),
        (lambda: {"t": torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)])}, "nested"),
    ],
    ids=["lazy", "subclass", "freed", "objects", "masked", "nested"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_whole_tensor_is_refused_with_advice(tmp_path, make, words):
    with pytest.raises(UnrepresentableError, match=words) as caught:
        save_plain(tmp_path / "c", {"extra": make()})
    assert caught.value.where.startswith("extra/")
    assert caught.value.advice
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore")
def test_a_shard_is_refused_with_the_way_to_gather_it(tmp_path):
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, distribute_tensor

    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        shard = distribute_tensor(torch.zeros(4), mesh, [Replicate()])
        with pytest.raises(UnrepresentableError, match="full_state_dict=True"):
            save_plain(tmp_path / "c", {"model": {"w": shard}})
    finally:
        dist.destroy_process_group()


def test_a_subclass_of_parameter_is_a_parameter(tmp_path):
    class Own(torch.nn.Parameter):
        pass

    node = saved_node(tmp_path, Own(torch.ones(3)))
    assert (node.flavour, node.requires_grad) == ("parameter", True)

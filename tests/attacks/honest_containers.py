"""The same state in every container: layouts of every age, both byte orders, scripts."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.attacks import build_pickle as b
from tests.attacks.build_legacy import (
    legacy,
    legacy_storage,
    tar_members,
    tar_storages,
    tar_tensors,
    write_tar,
)
from tests.attacks.build_zip import FOUR_FLOATS, End, Entry, members, torch_zip, write_zip
from tests.attacks.case import Built, Case, seen
from tests.attacks.honest_expect import expected, honest, quiet

Files = dict[str, bytes]


def state() -> dict[str, torch.Tensor]:
    """A small state_dict."""
    base = torch.arange(12.0)
    return {"weight": base.reshape(3, 4), "bias": base[2:5], "steps": torch.tensor(7)}


def of_bytes(title: str, data: Callable[[], bytes], suffix: str = ".pt") -> Case:
    """A fabricated torch file; what it holds is what torch.load says."""

    def build(folder: Path) -> Built:
        path = folder / f"case{suffix}"
        path.write_bytes(data())
        with quiet():
            return Built(path, expected(torch.load(path, weights_only=False)))

    return honest(title, build)


def of_four(title: str, data: bytes, suffix: str = ".pt") -> Case:
    """A fabricated file that torch of today cannot open, holding the four floats."""

    def build(folder: Path) -> Built:
        path = folder / f"case{suffix}"
        path.write_bytes(data)
        return Built(path, (seen("float32", (4,), FOUR_FLOATS),))

    return honest(title, build)


def saved_zip(**options: Any) -> bytes:
    """torch.save to a file object."""
    out = io.BytesIO()
    torch.save({"state_dict": state(), "epoch": 3}, out, **options)
    return out.getvalue()


def repacked(change: Callable[[list[Entry]], list[Entry]], end: End | None = None) -> bytes:
    """torch's own members, written again with a difference."""
    import zipfile

    with zipfile.ZipFile(io.BytesIO(saved_zip())) as archive:
        rows = [Entry(info.filename, archive.read(info)) for info in archive.infolist()]
    return write_zip(change(rows), end or End())


def _swap(rows: list[Entry]) -> list[Entry]:
    def swapped(row: Entry) -> Entry:
        if row.name.endswith("/byteorder"):  # type: ignore[arg-type]
            return row._replace(data=b"big")
        if "/data/" in row.name:  # type: ignore[operator]
            width = 8 if len(row.data) == 8 else 4
            return row._replace(data=np.frombuffer(row.data, f"u{width}").byteswap().tobytes())
        return row

    return [swapped(row) for row in rows]


def _without(*endings: str) -> Callable[[list[Entry]], list[Entry]]:
    return lambda rows: [row for row in rows if not str(row.name).endswith(endings)]


def _renamed(root: str) -> Callable[[list[Entry]], list[Entry]]:
    return lambda rows: [
        row._replace(name=str(row.name).replace("archive", root, 1)) for row in rows
    ]


def zips() -> Iterator[Case]:
    """Zip layouts."""
    rows: dict[str, Callable[[], bytes]] = {
        "fileobj": saved_zip,
        "protocol-3": lambda: saved_zip(pickle_protocol=3),
        "protocol-5": lambda: saved_zip(pickle_protocol=5),
        "repacked": lambda: repacked(list),
        "deflated": lambda: repacked(lambda rows: [row._replace(method=8) for row in rows]),
        "reversed": lambda: repacked(lambda rows: rows[::-1]),
        "sorted": lambda: repacked(lambda rows: sorted(rows, key=lambda row: row.name)),
        "big-endian": lambda: repacked(_swap),
        "pre-2.1": lambda: repacked(_without("byteorder", "serialization_id", ".format_version", ".storage_alignment")),
        "root-unicode": lambda: repacked(_renamed("modèle é")),
        "root-dots": lambda: repacked(_renamed("epoch=3-step=40.v1")),
        "root-long": lambda: repacked(_renamed("r" * 200)),
        "comment": lambda: repacked(list, End(comment=b"made by hand")),
        "folders": lambda: repacked(lambda rows: [*rows, Entry("archive/", b""), Entry("archive/data/", b"")]),
        "extra-entry": lambda: repacked(lambda rows: [*rows, Entry("archive/notes.txt", b"hello")]),
        "plain-v2": torch_zip,
        "untyped": lambda: torch_zip(b.state_dict(a=b.call(
            b.name("torch._utils", "_rebuild_tensor_v3"), b.storage(kind="UntypedStorage", numel=16), 0, (4,), (1,), False,
            b.EMPTY_HOOKS, b.name("torch", "float32")))),
        "v1-rebuild": lambda: torch_zip(b.state_dict(a=b.call(
            b.name("torch._utils", "_rebuild_tensor"), b.storage(), 0, (4,), (1,)))),
        "cuda-location": lambda: torch_zip(b.state_dict(a=b.tensor(b.storage(location="cpu")))),
    }  # fmt: skip
    for title, make in rows.items():
        yield of_bytes(f"zip-{title}", make)
    data = descriptor_zip()
    yield of_bytes("zip-descriptors", lambda: data)
    yield of_four("zip-zip64", write_zip(members(), End(zip64=True)))
    yield of_four("zip-cuda", torch_zip(b.state_dict(a=b.tensor(b.storage(location="cuda:3")))))
    yield of_four("zip-cuda-class", torch_zip(b.state_dict(a=b.tensor(b.Raw(b.tup(
        "storage", b.name("torch.cuda", "FloatStorage"), "0", "cuda:0", 4) + b"Q")))))  # fmt: skip
    yield of_four(
        "zip-xla-location", torch_zip(b.state_dict(a=b.tensor(b.storage(location="xla:0"))))
    )


def descriptor_zip() -> bytes:
    """Python's own zipfile, streaming: sizes stand behind the data."""
    import zipfile

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    out = Pipe()
    with zipfile.ZipFile(out, "w") as archive:
        for row in members():
            archive.writestr(str(row.name), row.data)
    return out.getvalue()


def stacks() -> Iterator[Case]:
    """The stacked format and the tar."""
    yield of_bytes("legacy-saved", lambda: saved_zip(_use_new_zipfile_serialization=False))
    yield of_bytes(
        "legacy-protocol-4",
        lambda: saved_zip(_use_new_zipfile_serialization=False, pickle_protocol=4),
    )
    yield of_bytes("legacy-by-hand", legacy)
    view = b.state_dict(
        a=b.tensor(legacy_storage(view=("v", 1, 3)), 0, (3,)), b=b.tensor(legacy_storage())
    )
    yield of_bytes("legacy-view", lambda: legacy(view))
    yield of_bytes("legacy-junk-behind", lambda: legacy() + bytes(100))
    yield of_bytes("tar", lambda: write_tar(tar_members()))
    wide = tar_tensors(((2, 1, (2, 2), (2, 1), 0), (3, 1, (2,), (2,), 1), (4, 1, (), (), 2)))
    body = b.stream(
        b"}("
        + b"".join(b.const(k) + b.const(str(i)) + b"Q" for k, i in (("a", 2), ("b", 3), ("c", 4)))
        + b"u"
    )
    yield of_bytes("tar-views", lambda: write_tar(tar_members(tensors=wide, pickle=body)))
    viewed = tar_storages(views=((5, 1, 1, 3),))
    yield of_bytes("tar-storage-view", lambda: write_tar(tar_members(
        storages=viewed, tensors=tar_tensors(((2, 5, (3,), (1,), 0),)))))  # fmt: skip
    yield of_bytes("tar-reordered", lambda: write_tar(dict(reversed(tar_members().items()))))


def scripts() -> Iterator[Case]:
    """TorchScript archives: their parameters and buffers."""

    def script(make: Callable[[], Any], trace: Any = None) -> Callable[[Path], Built]:
        def build(folder: Path) -> Built:
            with quiet():
                torch.manual_seed(0)
                model = make().eval()
                frozen = torch.jit.script(model) if trace is None else torch.jit.trace(model, trace)
                frozen.save(str(folder / "case.pt"))
                held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
                return Built(folder / "case.pt", expected(held))

        return build

    linear: Callable[[], Any] = functools.partial(torch.nn.Linear, 3, 2)

    def norm() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv1d(2, 3, 1), torch.nn.BatchNorm1d(3))

    yield honest("torchscript-linear", script(linear))
    yield honest("torchscript-norm", script(norm))
    yield honest("torchscript-traced", script(linear, torch.ones(1, 3)))
    yield honest("torchscript-traced-norm", script(norm, torch.ones(1, 2, 4)))


def cases() -> Iterator[Case]:
    """All of them."""
    for rows in (zips(), stacks(), scripts()):
        yield from rows

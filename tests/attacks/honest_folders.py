"""safetensors files of every dtype, Hugging Face folders, torch.distributed.checkpoint, v2."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.attacks.build_folder import dcp, sharded, v2
from tests.attacks.build_legacy import legacy
from tests.attacks.build_safetensors import entry, frame, safetensors
from tests.attacks.build_zip import FOUR_FLOATS, torch_zip
from tests.attacks.case import Built, Case, folder_of, seen
from tests.attacks.honest_containers import Files, of_four, state
from tests.attacks.honest_expect import expected, honest, quiet
from tests.attacks.honest_tensors import pattern


def safetensor_files() -> Iterator[Case]:
    """safetensors of every dtype and layout that its own library writes or accepts."""

    def written(
        make: Callable[[], dict[str, torch.Tensor]], metadata: dict[str, str] | None = None
    ) -> Callable[[Path], Built]:
        def build(folder: Path) -> Built:
            tensors = make()
            save_file(tensors, folder / "case.safetensors", metadata)
            return Built(folder / "case.safetensors", expected(tensors))

        return build

    for dtype in [
        "bool",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "float8_e4m3fn",
        "float8_e5m2",
        "float8_e8m0fnu",
        "float8_e4m3fnuz",
        "float8_e5m2fnuz",
    ]:
        yield honest(
            f"safetensors-{dtype}",
            written(lambda d=dtype: {"a": pattern(d, 2, 3), "b": pattern(d)}),
        )
    yield honest(
        "safetensors-metadata", written(state_of_copies, {"format": "pt", "epoch": "3", "é": "\n"})
    )
    yield honest("safetensors-empty", written(dict))
    yield honest(
        "safetensors-empty-tensor",
        written(lambda: {"a": torch.empty(0), "b": torch.empty(3, 0), "c": torch.ones(1)}),
    )
    yield honest(
        "safetensors-many",
        written(lambda: {f"layer.{i}.w": torch.full((3,), float(i)) for i in range(2000)}),
    )
    header = json.dumps({"weight": entry()}).encode()
    yield of_four(
        "safetensors-unpadded", frame(header + b"", FOUR_FLOATS, pad=False), ".safetensors"
    )
    yield of_four("safetensors-renamed", safetensors(), ".bin")
    indented = json.dumps({"weight": entry()}, indent=2).encode()
    yield of_four("safetensors-indented", frame(indented, FOUR_FLOATS), ".safetensors")
    yield of_four(
        "safetensors-escaped",
        safetensors('{"\\u0077eight":' + json.dumps(entry()) + "}"),
        ".safetensors",
    )


def state_of_copies() -> dict[str, torch.Tensor]:
    """A state_dict without shared memory."""
    return {key: value.clone() for key, value in state().items()}


def folders() -> Iterator[Case]:
    """Hugging Face folders, sharded files, torch.distributed.checkpoint."""
    four = (seen("float32", (4,), FOUR_FLOATS),)

    def of(files: Files, tensors: tuple[Any, ...] = four) -> Callable[[Path], Built]:
        return lambda folder: folder_of(files)(folder)._replace(tensors=tensors)

    config = {
        "config.json": b'{"model_type": "bert"}',
        "tokenizer.json": b"{}",
        "README.md": b"# A model",
    }
    yield honest("folder-single", of({"model.safetensors": safetensors(), **config}))
    yield honest("folder-sharded", of({**sharded(), **config}))
    yield honest("folder-bin", of({"pytorch_model.bin": torch_zip(), **config}))
    legacy_bin = {"pytorch_model.bin": legacy(), "config.json": b"{}"}
    yield honest("folder-bin-legacy", of(legacy_bin))
    index = json.dumps({"weight_map": {"weight": "pytorch_model-00001-of-00001.bin"}}).encode()
    parts = {"pytorch_model.bin.index.json": index, "pytorch_model-00001-of-00001.bin": torch_zip()}
    yield honest("folder-bin-sharded", of({**parts, **config}))
    yield honest("v2-by-hand", of(v2(), (four[0], seen("float32", (2, 2), FOUR_FLOATS))))
    yield honest("dcp-by-hand", of(dcp()))

    def saved(make: Callable[[], dict[str, Any]]) -> Callable[[Path], Built]:
        def build(folder: Path) -> Built:
            import torch.distributed.checkpoint as checkpoint

            value = make()
            with quiet():
                checkpoint.save(value, checkpoint_id=folder / "case")
            return Built(folder / "case", expected(value))

        return build

    def trained() -> dict[str, Any]:
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        return {"model": model.state_dict(), "optim": optimizer.state_dict(), "epoch": 3}

    yield honest("dcp-state", saved(state_of_copies))
    yield honest("dcp-trained", saved(trained))
    yield honest(
        "dcp-dtypes",
        saved(lambda: {d: pattern(d, 2, 3) for d in ("bfloat16", "bool", "int64", "float16")}),
    )
    yield honest(
        "dcp-scalars",
        saved(lambda: {"a": torch.tensor(1.0), "b": torch.ones(2), "n": 5, "s": "text"}),
    )


def cases() -> Iterator[Case]:
    """All of them."""
    yield from safetensor_files()
    yield from folders()

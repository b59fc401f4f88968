"""Follow the pickles of one file inside a folder, whatever container it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.part_scan import scan_part
from ckptkit.containers.parts import located_scan
from ckptkit.containers.probe import make_probe
from ckptkit.protocols import Container, StreamScan
from ckptkit.types import Limits

# An index holds no pickle: the shards that it names lie in the folder and are met by themselves.
_INDEX = "sharded"


def file_containers() -> list[Container]:
    """Our containers that can hold a pickle in one file, in the order in which they are asked."""
    from ckptkit.containers.bare_pickle import BarePickleContainer
    from ckptkit.containers.prefixed_zip import PrefixedZipContainer
    from ckptkit.containers.safetensors import SafetensorsContainer
    from ckptkit.containers.torch_legacy import TorchLegacyContainer
    from ckptkit.containers.torch_tar import TorchTarContainer
    from ckptkit.containers.torch_zip import TorchZipContainer
    from ckptkit.containers.torchscript import TorchScriptContainer

    found: list[Container] = [
        TorchZipContainer(),
        TorchScriptContainer(),
        TorchLegacyContainer(),
        TorchTarContainer(),
        SafetensorsContainer(),
        BarePickleContainer(),
        PrefixedZipContainer(),
    ]
    return sorted(found, key=lambda container: container.rank)


def scan_file(
    path: FilePath, name: str, limits: Limits, containers: Sequence[Container] | None = None
) -> Iterator[StreamScan]:
    """Scan one file by its content; a file without pickles yields nothing.

    ``name`` is what the streams are called after; ``containers`` are asked in their order
    (default: ours). Raises: InputError, ContainerError.
    """
    probe = make_probe(path)
    for container in file_containers() if containers is None else containers:
        if container.name != _INDEX and container.matches(probe):
            for scan in container.scan(probe, limits):
                yield located_scan(name, scan)
            return
    with FileBytes(path) as file:
        yield from scan_part(file, name, limits)

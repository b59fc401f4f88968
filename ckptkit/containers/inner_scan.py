"""Follow the pickles of one file inside a folder, whatever container it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.parts import located_scan
from ckptkit.containers.probe import make_probe
from ckptkit.protocols import Container, StreamScan
from ckptkit.types import Limits


def pickle_containers() -> list[Container]:
    """Our containers that can hold a pickle in one file, in the order in which they are asked."""
    from ckptkit.containers.bare_pickle import BarePickleContainer
    from ckptkit.containers.torch_legacy import TorchLegacyContainer
    from ckptkit.containers.torch_tar import TorchTarContainer
    from ckptkit.containers.torch_zip import TorchZipContainer
    from ckptkit.containers.torchscript import TorchScriptContainer

    found: list[Container] = [
        TorchZipContainer(),
        TorchScriptContainer(),
        TorchLegacyContainer(),
        TorchTarContainer(),
        BarePickleContainer(),
    ]
    return sorted(found, key=lambda container: container.rank)


def scan_file(path: FilePath, name: str, limits: Limits) -> Iterator[StreamScan]:
    """Scan one file by its content; a file without pickles yields nothing.

    ``name`` is what the streams are called after. Raises: InputError, ContainerError.
    """
    probe = make_probe(path)
    for container in pickle_containers():
        if container.matches(probe):
            for scan in container.scan(probe, limits):
                yield located_scan(name, scan)
            return

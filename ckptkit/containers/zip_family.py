"""Zip archives by what is in them: torch.save, TorchScript, torch.export, or nothing of ours."""

from __future__ import annotations

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.kept_file import open_kept
from ckptkit.containers.polyglot import polyglot_notices
from ckptkit.containers.torch_zip import missing_pickle, open_torch_zip
from ckptkit.containers.zip_archive import PICKLE_NAME, ZipArchive
from ckptkit.errors import CkptkitError, ForeignFormatError
from ckptkit.protocols import Opened, Probe
from ckptkit.types import Limits

# Small records of torch's archives: with one of them, but no object, something was lost.
_TORCH_RECORDS = ("version", "byteorder", ".data/serialization_id", ".format_version")


def open_zip(probe: Probe, limits: Limits) -> Opened:
    """Open an archive as what its entries say it is; the file is closed again on failure.

    Raises: ContainerError; ForeignFormatError for archives of other programs.
    """
    return open_kept(probe, limits, _open)


def _open(file: FileBytes, probe: Probe, limits: Limits) -> Opened:
    archive = ZipArchive(file, limits)
    archive.notices.extend(polyglot_notices(file, "zip"))
    if archive.entry("constants.pkl") is not None:
        from ckptkit.containers.torchscript import open_torchscript

        return open_torchscript(archive, probe)
    if archive.entry(PICKLE_NAME) is not None:
        return open_torch_zip(archive, probe)
    if archive.small("archive_format") == b"pt2":
        from ckptkit.containers.torch_export import open_torch_export

        return open_torch_export(archive, probe)
    raise _foreign(archive)


def _foreign(archive: ZipArchive) -> CkptkitError:
    """Name an archive without an object by its entries."""
    names = list(archive.entries)
    where = archive.file.where
    if names and all(name.endswith(".npy") for name in names):
        return ForeignFormatError(
            where, "is a NumPy .npz archive", "a PyTorch checkpoint",
            "load it with numpy.load and save its arrays with torch.save",
        )  # fmt: skip
    known = {
        "word/document.xml": "an Office document",
        "META-INF/MANIFEST.MF": "a Java archive",
        "MAR-INF/MANIFEST.json": "a TorchServe model archive: unpack it and open the file inside",
        "config.json": "a Keras or plain zip archive: unpack it and open the file inside",
    }
    for name, what in known.items():
        if name in archive.entries:
            return ForeignFormatError(where, f"is {what}", "a PyTorch checkpoint")
    if any(name.endswith(".data/extern_modules") for name in names):
        advice = "load it with torch.package.PackageImporter and torch.save its state_dict"
        return ForeignFormatError(where, "is a torch.package archive", "a checkpoint", advice)
    if not any(archive.small(name) is not None for name in _TORCH_RECORDS):
        return ForeignFormatError(
            where, f"is a zip archive of something else: {len(names)} entries, no data.pkl",
            "an archive that torch.save wrote", "unpack it: the checkpoint may be inside",
        )  # fmt: skip
    return missing_pickle(archive)

"""Our own containers and dialects, offered through the same hooks as anybody's.

The modules are imported inside the hook functions, and containers only when a path may be of
their kind: a process never pays for what it does not open.
"""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.hooks.lazy_container import LazyContainer
from ckptkit.hooks.specs import hookimpl
from ckptkit.protocols import Container, Dialect, Probe
from ckptkit.types import SEALED_CONTAINER


@hookimpl
def ckptkit_containers() -> Iterable[Container]:
    """Offer every container of this package."""
    at = "ckptkit.containers."
    return [
        LazyContainer(
            at + "torchscript:TorchScriptContainer",
            "torchscript", "TorchScript archive (torch.jit.save)", 19, _is_zip,
        ),
        LazyContainer(
            at + "torch_zip:TorchZipContainer",
            "torch-zip", "PyTorch zip file (torch.save, 1.6 and later)", 20, _is_zip,
        ),
        LazyContainer(
            at + "torch_legacy:TorchLegacyContainer",
            "torch-legacy", "PyTorch legacy file (torch.save, 0.1.10 to 1.5)", 30, _is_pickle,
        ),
        LazyContainer(
            at + "sharded:ShardedContainer",
            "sharded", "sharded weights with a Hugging Face index", 40, _is_index,
        ),
        LazyContainer(
            at + "torch_tar:TorchTarContainer",
            "torch-tar", "PyTorch tar file (torch.save before 0.1.10)", 40, _is_tar,
        ),
        LazyContainer(
            at + "safetensors:SafetensorsContainer",
            "safetensors", "safetensors file", 50, _is_safetensors,
        ),
        LazyContainer(
            at + "bare_pickle:BarePickleContainer",
            "pickle", "Bare pickle (pickle.dump)", 90, _is_file,
        ),
        LazyContainer(
            at + "prefixed_zip:PrefixedZipContainer",
            "prefixed-zip", "zip archive behind other bytes (scanned only)", 95, _is_file,
        ),
        LazyContainer(
            at + "v2_folder:V2FolderContainer",
            SEALED_CONTAINER, "ckptkit checkpoint", 100, _is_folder,
        ),
        LazyContainer(
            at + "dcp_folder:DcpFolderContainer",
            "dcp", "torch.distributed.checkpoint folder", 110, _is_dcp,
        ),
        LazyContainer(
            at + "hf_folder:FolderContainer",
            "folder", "folder of checkpoint files", 900, _is_folder,
        ),
    ]  # fmt: skip


@hookimpl
def ckptkit_dialects() -> Iterable[Dialect]:
    """Offer every dialect of this package."""
    from ckptkit.dialects.accelerate import Accelerate
    from ckptkit.dialects.bare import Bare
    from ckptkit.dialects.brain import Brain
    from ckptkit.dialects.building_segmentation import BuildingSegmentation
    from ckptkit.dialects.dcp import Dcp
    from ckptkit.dialects.fabric import Fabric
    from ckptkit.dialects.hf_trainer import HfTrainer
    from ckptkit.dialects.hf_weights import HfWeights
    from ckptkit.dialects.imagenet import ImageNet, Timm
    from ckptkit.dialects.lightning import Lightning
    from ckptkit.dialects.noon2 import Noon2
    from ckptkit.dialects.pickled_module import PickledModule
    from ckptkit.dialects.programs import TorchExport, TorchScript
    from ckptkit.dialects.text2sign import Text2Sign
    from ckptkit.dialects.training_dict import TrainingDict
    from ckptkit.dialects.unet_restoration import UnetRestoration
    from ckptkit.dialects.unknown import Unknown

    return [
        Bare(), TrainingDict(), Text2Sign(), Brain(), Noon2(), UnetRestoration(),
        BuildingSegmentation(), ImageNet(), Timm(), Lightning(), Fabric(), HfTrainer(),
        HfWeights(), Accelerate(), Dcp(), PickledModule(), TorchScript(), TorchExport(),
        Unknown(),
    ]  # fmt: skip


# -- guards: cheap, and true wherever the container itself matches --------------------------------


def _is_folder(probe: Probe) -> bool:
    return probe.is_dir


def _is_file(probe: Probe) -> bool:
    return not probe.is_dir


def _is_zip(probe: Probe) -> bool:
    return probe.head[:4] == b"PK\x03\x04"


def _is_pickle(probe: Probe) -> bool:
    return probe.head[:1] in (b"\x80", b"L")


def _is_index(probe: Probe) -> bool:
    return b'"weight_map"' in probe.head


def _is_tar(probe: Probe) -> bool:
    head = probe.head
    return len(head) >= 512 and (head[257:262] == b"ustar" or head[156:157] in (b"\x00", b"0"))


def _is_safetensors(probe: Probe) -> bool:
    return probe.head[8:9] == b"{"


def _is_dcp(probe: Probe) -> bool:
    return ".metadata" in probe.names or any(name.endswith(".distcp") for name in probe.names)

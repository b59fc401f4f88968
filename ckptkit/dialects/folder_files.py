"""The files of a checkpoint folder by the names that Hugging Face's libraries give them."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.dialects.draft import Draft
from ckptkit.dialects.hints import tell_absolute_paths, tell_half_precision
from ckptkit.dialects.looks import is_state_dict
from ckptkit.dialects.weights import find_weights, place_names, place_weights
from ckptkit.nodes import MapNode, Node, Path
from ckptkit.protocols import SourceView

#: Stems of weight files, likeliest first. Source: transformers/utils/__init__.py,
#: diffusers/utils/constants.py, peft/utils/constants.py, accelerate/utils/constants.py.
WEIGHT_STEMS = ("model", "pytorch_model", "diffusion_pytorch_model", "adapter_model")
WEIGHT_SUFFIXES = (".safetensors", ".bin")
#: Folders that FSDP's sharded state comes in, each one distributed checkpoint.
FSDP_WEIGHTS = ("pytorch_model_fsdp_",)
FSDP_OPTIMIZER = ("optimizer_",)


class WeightFile(NamedTuple):
    """A file of weights: its name in the folder and, where there are several, whose it is."""

    name: str
    role: str


def files_of(view: SourceView) -> MapNode | None:
    """The files of a folder by name, or None if the source is a single file."""
    if view.container != "folder" or not isinstance(view.root, MapNode):
        return None
    return view.root


def find_weight_files(files: MapNode) -> list[WeightFile]:
    """The weights, one file a model: safetensors before pickles, the folder tells the role."""
    best: dict[str, tuple[int, str]] = {}
    for name, node in files.items():
        rank_and_role = _rank(name) if isinstance(name, str) else None
        if rank_and_role is None or not find_weights(node, ()):
            continue
        rank, role = rank_and_role
        if role not in best or rank < best[role][0]:
            best[role] = (rank, name)
    return [WeightFile(name, role) for role, (_, name) in best.items()]


def _rank(name: str) -> tuple[int, str] | None:
    """How likely a file is the one that loaders take, and which model it is of."""
    folder, _, last = name.rpartition("/")
    if last.startswith(FSDP_WEIGHTS):
        return 9, folder or "model"
    stem, dot, suffix = last.rpartition(".")
    if not dot or f".{suffix}" not in WEIGHT_SUFFIXES:
        return None
    for rank, known in enumerate(WEIGHT_STEMS):
        if stem == known or stem.startswith(f"{known}.") or _is_numbered(stem, known):
            number = stem[len(known) :] if _is_numbered(stem, known) else ""
            base = rank + (0 if suffix == "safetensors" else 4)
            return base, (folder or "model") + number
    return None


def _is_numbered(stem: str, known: str) -> bool:
    """Accelerate calls the second model ``model_1``."""
    return stem.startswith(f"{known}_") and stem[len(known) + 1 :].isdigit()


def place_weight_files(draft: Draft, files: MapNode) -> int:
    """Put all weights at ``model``; return how many models there were."""
    found = find_weight_files(files)
    for one in found:
        target = ("model",) if len(found) == 1 else ("model", one.role)
        if is_state_dict(files[one.name]):
            place_names(draft, (one.name,), target, parallel=False)
        else:
            place_weights(draft, find_weights(files[one.name], (one.name,))[0], target)
    return len(found)


def place_files(draft: Draft, files: MapNode, section: str, names: list[str]) -> None:
    """Put files at a section, one as it is, several under their own names without suffix."""
    stems = [name.rpartition(".")[0] or name for name in names]
    for name, stem in zip(names, stems, strict=True):
        role = stem if stems.count(stem) == 1 else name  # optimizer.pt beside optimizer.bin
        target: Path = (section,) if len(names) == 1 else (section, role)
        draft.take((name,), target)
        if section == "optimizer":
            tell_half_precision(draft, files[name], name)
        if section == "config":
            tell_absolute_paths(draft, files[name], name)


def numbered(files: MapNode, stem: str, *suffixes: str) -> list[str]:
    """The files ``stem.bin``, ``stem_0.bin``, ``stem_1.bin`` ... that are there, in order."""
    found = []
    for name in files:
        if not isinstance(name, str) or not name.endswith(suffixes):
            continue
        bare = next(name[: -len(suffix)] for suffix in suffixes if name.endswith(suffix))
        number = bare[len(stem) + 1 :] if bare.startswith(f"{stem}_") else None
        if bare == stem or (number is not None and number.isdigit()):
            found.append((int(number or -1), name))
    return [name for _, name in sorted(found)]


def place_sharded_optimizer(draft: Draft, files: MapNode) -> None:
    """Put the optimizer of a sharded FSDP save, a folder of its own, in place."""
    for name, node in files.items():
        if not isinstance(name, str) or not isinstance(node, MapNode):
            continue
        if name.startswith(FSDP_OPTIMIZER) and "." not in name and _is_optimizer_folder(node):
            draft.take((name, "optimizer"), ("optimizer",))
            return


def _is_optimizer_folder(node: Node) -> bool:
    return isinstance(node, MapNode) and isinstance(node.get("optimizer"), MapNode)


def place_training_files(
    draft: Draft, files: MapNode, rng_stem: str, suffixes: tuple[str, ...]
) -> None:
    """Place weights and training state of a folder whose file names say what each holds."""
    place_weight_files(draft, files)
    for section, stem in (("optimizer", "optimizer"), ("scheduler", "scheduler"),
                          ("scaler", "scaler"), ("rng", rng_stem)):  # fmt: skip
        place_files(draft, files, section, numbered(files, stem, *suffixes))
    if "optimizer" not in draft.document:
        place_sharded_optimizer(draft, files)

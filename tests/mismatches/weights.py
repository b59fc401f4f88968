"""Cases of weights: names, shapes, parametrizations, dtypes, and the wrong file."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from tests.mismatches.case import Case, Live, same_names
from tests.mismatches.nets import Backwards, Convolutions, Net, Tied, Wrapper, seeded


def trained(**shape: Any) -> dict[str, Any]:
    """The state_dict of a trained ``Net``, as a plain dict."""
    return dict(seeded(lambda: Net(**shape), 1).state_dict())


def new(**shape: Any) -> Callable[[], Live]:
    return lambda: Live(seeded(lambda: Net(**shape), 2))


def prefixed(*words: str) -> Callable[[], dict[str, Any]]:
    return lambda: {".".join([*words, name]): value for name, value in trained().items()}


def renamed_truth(rename: Callable[[str], str]) -> Callable[..., dict[str, Any]]:
    """The truth where ``rename`` gives the live name of a stored one."""
    return lambda saved, _live: {rename(name): value for name, value in saved.items()}


def behind(n_words: int) -> Callable[..., dict[str, Any]]:
    return renamed_truth(lambda name: ".".join(name.split(".")[n_words:]))


def _wrapped_blocks() -> dict[str, Any]:
    return {
        name.replace(".attn.", "._fsdp_wrapped_module.attn.").replace(
            ".fc", "._fsdp_wrapped_module.fc"
        ): value
        for name, value in trained().items()
    }


def _old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(layer)


def convolutions(wrap: Callable[[nn.Module], nn.Module] | None = None) -> dict[str, Any]:
    make = Convolutions if wrap is None else lambda: Convolutions(wrap)
    return dict(seeded(make, 1).state_dict())


def new_convolutions(wrap: Callable[[nn.Module], nn.Module] | None = None) -> Callable[[], Live]:
    make = Convolutions if wrap is None else lambda: Convolutions(wrap)
    return lambda: Live(seeded(make, 2))


def _to_new_norm(name: str) -> str:
    name = name.replace(".weight_g", ".parametrizations.weight.original0")
    return name.replace(".weight_v", ".parametrizations.weight.original1")


def _to_old_norm(name: str) -> str:
    name = name.replace(".parametrizations.weight.original0", ".weight_g")
    return name.replace(".parametrizations.weight.original1", ".weight_v")


def _to_new_spectral(name: str) -> str:
    name = name.replace(".weight_orig", ".parametrizations.weight.original")
    name = name.replace(".weight_u", ".parametrizations.weight.0._u")
    return name.replace(".weight_v", ".parametrizations.weight.0._v")


def _pruned() -> dict[str, Any]:
    model = seeded(Convolutions, 1)
    for layer in (model.stem[0], model.body[0]):
        prune.random_unstructured(layer, "weight", amount=0.5)
    return dict(model.state_dict())


def _masked(saved: dict[str, Any], live: Live) -> dict[str, Any]:
    truth = same_names(saved, live)
    for name, value in saved.items():
        if name.endswith("_orig"):
            plain = name.removesuffix("_orig")
            truth[plain] = value * saved[plain + "_mask"]
    return truth


def _grown(saved: dict[str, Any], live: Live) -> dict[str, Any]:
    truth = same_names(saved, live)
    rows = saved["embed.weight"]
    grown = live.model.embed.weight.detach().clone()
    grown[: len(rows)] = rows
    return {**truth, "embed.weight": grown}


def _fused_truth(saved: dict[str, Any], live: Live) -> dict[str, Any]:
    truth = same_names(saved, live)
    for name in live.values():
        if ".qkv_proj." in name:
            parts = [saved[name.replace("qkv_", part)] for part in ("q_", "k_", "v_")]
            truth[name] = torch.cat(parts)
    return truth


def _averaged() -> dict[str, Any]:
    return {"ema_state_dict": trained(), "epoch": 3}


def _tied_once() -> dict[str, Any]:
    state = dict(seeded(Tied, 1).state_dict())
    del state["lm_head.weight"]
    return state


def _without_counters() -> dict[str, Any]:
    return {k: v for k, v in convolutions().items() if not k.endswith("num_batches_tracked")}


def _without_metadata_truth(saved: dict[str, Any], _live: Live) -> dict[str, Any]:
    return dict(saved)


def _halves() -> dict[str, Any]:
    return {name: value.half() for name, value in trained().items()}


def _in_a_training_dict() -> dict[str, Any]:
    return {"epoch": 7, "model_state_dict": trained(), "best_val_loss": 0.5}


def _as_if_it_were_the_weights(saved: dict[str, Any], live: Live, *, strict: bool) -> None:
    live.model.load_state_dict(copy.copy(saved), strict=strict)


_SPECTRAL = nn.utils.spectral_norm

CASES = (
    Case(
        name="saved under DistributedDataParallel",
        story="Every stored name begins with `module.`.",
        saved=prefixed("module"), live=new(), truth=behind(1),
    ),
    Case(
        name="saved under torch.compile",
        story="Every stored name begins with `_orig_mod.`.",
        saved=prefixed("_orig_mod"), live=new(), truth=behind(1),
    ),
    Case(
        name="compiled, then DistributedDataParallel",
        story="Every stored name begins with `module._orig_mod.`.",
        saved=prefixed("module", "_orig_mod"), live=new(), truth=behind(2),
    ),
    Case(
        name="DistributedDataParallel, then compiled",
        story="Every stored name begins with `_orig_mod.module.`.",
        saved=prefixed("_orig_mod", "module"), live=new(), truth=behind(2),
    ),
    Case(
        name="the live model is wrapped, the file is not",
        story="The script wraps its model before it loads; the file was saved from a plain one.",
        saved=trained, live=lambda: Live(Wrapper(seeded(Net, 2))),
        truth=renamed_truth(lambda name: f"module.{name}"),
    ),
    Case(
        name="sharded wrappers in the middle of names",
        story="Some parts of each block were wrapped: `blocks.0._fsdp_wrapped_module.attn...`.",
        saved=_wrapped_blocks, live=new(),
        truth=renamed_truth(lambda name: name.replace("._fsdp_wrapped_module", "")),
    ),
    Case(
        name="the weights are one level down",
        story="The file is a training dict, and the script hands all of it to load_state_dict.",
        saved=_in_a_training_dict, live=new(), torch_way=_as_if_it_were_the_weights,
    ),
    Case(
        name="weight_norm, old form to new form",
        story="`weight_g` and `weight_v` in the file; the model uses torch's parametrization.",
        saved=lambda: convolutions(_old_weight_norm),
        live=new_convolutions(parametrizations.weight_norm), truth=renamed_truth(_to_new_norm),
    ),
    Case(
        name="weight_norm, new form to old form",
        story="The other way round: an older script reads what a newer one wrote.",
        saved=lambda: convolutions(parametrizations.weight_norm),
        live=new_convolutions(_old_weight_norm), truth=renamed_truth(_to_old_norm),
    ),
    Case(
        name="spectral_norm, old form to new form",
        story="`weight_orig`, `weight_u`, `weight_v` in the file; torch's parametrization wants its own.",
        saved=lambda: convolutions(_SPECTRAL),
        live=new_convolutions(parametrizations.spectral_norm),
        truth=renamed_truth(_to_new_spectral),
    ),
    Case(
        name="pruned file, plain model",
        story="The file has `weight_orig` and `weight_mask`; the weight is their product.",
        saved=_pruned, live=new_convolutions(), truth=_masked,
    ),
    Case(
        name="a head of other classes",
        story="Fine-tuning: 10 classes in the file, 7 in the model. The head begins anew.",
        saved=trained, live=new(classes=7), tries=({}, {"on_shape": "skip"}),
    ),
    Case(
        name="a bigger vocabulary",
        story="20 rows of embedding in the file, 26 in the model: the old rows are wanted.",
        saved=trained, live=new(vocabulary=26), truth=_grown, tries=({}, {"on_shape": "slice"}),
    ),
    Case(
        name="a renamed block",
        story="`blocks.` became `layers.` in the code.",
        saved=trained, live=new(blocks="layers"),
        truth=renamed_truth(lambda name: name.replace("blocks.", "layers.")),
        tries=({}, {"apply_proposals": True}),
    ),
    Case(
        name="three projections became one",
        story="`q_proj`, `k_proj`, `v_proj` in the file, `qkv_proj` in the model: no renaming does it, a migrator does.",
        saved=trained, live=new(fused=True), truth=_fused_truth, loads=False,
    ),
    Case(
        name="parameters in another order",
        story="The parts of the model are declared in another order.",
        saved=trained, live=lambda: Live(seeded(Backwards, 2)),
    ),
    Case(
        name="a layer was added",
        story="Three blocks in the file, four in the model.",
        saved=trained, live=new(depth=4), tries=({}, {"allow_missing": ("blocks.3.*",)}),
    ),
    Case(
        name="a layer was removed",
        story="Three blocks in the file, two in the model.",
        saved=trained, live=new(depth=2), tries=({}, {"allow_unexpected": ("blocks.2.*",)}),
    ),
    Case(
        name="the file has averaged weights only",
        story="`ema_state_dict` and no raw weights; the script looks for `model_state_dict`.",
        saved=_averaged, live=new(),
        truth=lambda saved, live: same_names(saved["ema_state_dict"], live),
        tries=({}, {"use": "ema"}),
    ),
    Case(
        name="tied weights stored under one of their names",
        story="`lm_head.weight` is `embed.weight`; a file of safetensors has only one of them.",
        saved=_tied_once, live=lambda: Live(seeded(Tied, 2)),
        truth=lambda saved, _live: {**saved, "lm_head.weight": saved["embed.weight"]},
    ),
    Case(
        name="batch norms without counters",
        story="A file from before `num_batches_tracked`.",
        saved=_without_counters, live=new_convolutions(), truth=_without_metadata_truth,
    ),
    Case(
        name="a file in half precision",
        story="float16 in the file, float32 in the model.",
        saved=_halves, live=new(),
    ),
    Case(
        name="the wrong file altogether",
        story="A network of convolutions is handed the file of a transformer.",
        saved=trained, live=new_convolutions(), truth=lambda *_: {}, loads=False,
        tries=({}, {"allow_missing": True, "allow_unexpected": True, "min_coverage": 0.0}),
    ),
    Case(
        name="the wrong file, of the same architecture and another size",
        story="Every name agrees and no shape does.",
        saved=lambda: trained(width=12), live=new(), truth=lambda *_: {}, loads=False,
        tries=({}, {"on_shape": "skip"}),
    ),
)  # fmt: skip

"""PyTorch Lightning ``.ckpt`` files, whole, stripped, or renamed by those who publish them."""

from __future__ import annotations

from ckptkit.dialects import filling
from ckptkit.dialects.dcp import META, is_sharded_with_meta, sort_sharded
from ckptkit.dialects.draft import Draft, find
from ckptkit.dialects.hints import tell_absolute_paths
from ckptkit.dialects.looks import fields, is_state_dict
from ckptkit.dialects.progress import UNTOLD, Meaning
from ckptkit.dialects.sorting import Found, Sorted, has_keys, sort_keys
from ckptkit.dialects.training_dict import TrainingDict
from ckptkit.dialects.weights import place_names, place_weights
from ckptkit.nodes import MapNode, Node, Record
from ckptkit.protocols import Reading, Recognition, SourceView
from ckptkit.tree import key_text
from ckptkit.tree.numbers import count_of

VERSION = "pytorch-lightning_version"
ATTRIBUTE_DICTS = frozenset(
    [
        ("lightning.fabric.utilities.data", "AttributeDict"),
        ("lightning_fabric.utilities.data", "AttributeDict"),
        ("lightning.pytorch.utilities.parsing", "AttributeDict"),
        ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ]
)

#: What the averaging callbacks save beside ``state_dict``, which they swap for the average.
#: Source: lightning/pytorch/callbacks/weight_averaging.py, ``on_save_checkpoint``.
RAW = "current_model_state"
AVERAGING = "averaging_state"
DATA_HPARAMS = "datamodule_hyper_parameters"
#: Lightning 2 writes the precision plugin under its class; before 2.0 and 1.6 under these.
SCALERS = ("MixedPrecision", "MixedPrecisionPlugin", "native_amp_scaling_state")


class Lightning(TrainingDict):
    """``loops`` is the authority on progress; the top-level epoch is there for compatibility.

    Source: lightning/pytorch/trainer/connectors/checkpoint_connector.py, ``dump_checkpoint``.
    """

    name = "lightning"
    title = "PyTorch Lightning .ckpt"

    def recognise(self, view: SourceView) -> Recognition | None:
        """98 for its version key, 90 for its hyper-parameters, 66 for keys called as its own."""
        keys = view.root if not is_sharded_with_meta(view) else view.root[META]
        if has_keys(keys, VERSION):
            return Recognition(98, (f"{VERSION} {_version(keys)}",))
        if not has_keys(view.root, "state_dict", "hyper_parameters"):
            return None
        found = sort_keys(view.root)
        if found is None or not found.has("model"):
            return None
        hparams = find(view.root, (*found.base, "hyper_parameters"))
        if isinstance(hparams, Record) and tuple(hparams.name) in ATTRIBUTE_DICTS:
            return Recognition(90, (f"hyper_parameters are a {hparams.name.text}",))
        return Recognition(66, ("state_dict and hyper_parameters together",))

    def interpret(self, view: SourceView) -> Reading:
        """Place every key, of one file or of a sharded folder with its meta.pt."""
        draft = Draft(view)
        found = sort_sharded(view.root)
        if found is not None:
            self.fill(draft, found)
        return draft.reading()

    def fill(self, draft: Draft, found: Sorted) -> None:
        """Sort out which weights are raw; then as any training dict."""
        sections = {name: list(group) for name, group in found.sections.items()}
        found = found._replace(sections=sections)
        _place_weights(draft, found)
        hparams = find(draft.root, (*found.base, DATA_HPARAMS))
        sorted_paths = {one.path for group in sections.values() for one in group}
        if hparams is not None and (*found.base, DATA_HPARAMS) not in sorted_paths:
            path = (*found.base, DATA_HPARAMS)
            sections.setdefault("config", []).append(Found(DATA_HPARAMS, path, hparams))
        for key in SCALERS:
            path = (*found.base, key)
            if path in sorted_paths:
                continue
            if isinstance(find(draft.root, path), MapNode) and not sections.get("scaler"):
                sections["scaler"] = [Found(key, path, find(draft.root, path))]
        super().fill(draft, found)

    def fill_best(self, draft: Draft, found: Sorted) -> None:
        """The best score and its file, as the ModelCheckpoint callback knows them."""
        callbacks = find(draft.root, (*found.base, "callbacks"))
        if not isinstance(callbacks, MapNode):
            filling.place_best(draft, found)
            return
        for key, state in callbacks.items()[:64]:
            if not isinstance(state, MapNode) or state.get("monitor") is None:
                continue
            if state.get("best_model_score") is None:
                continue
            base = (*found.base, "callbacks", key)
            draft.show((*base, "best_model_score"), ("best", "value"))
            draft.show((*base, "monitor"), ("best", "name"))
            if state.get("best_model_path"):
                draft.show((*base, "best_model_path"), ("best", "where"))
                tell_absolute_paths(draft, state.get("best_model_path"), "callbacks")
            if (mode := _mode_of(key)) is not None:
                draft.say(("best", "mode"), mode)
            return

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """Compare the compatibility key with what the fit loop has counted."""
        done = epochs_done(find(view.root, (*found.base, "loops", "fit_loop")))
        if done is None:
            return UNTOLD
        if done == epoch.node + 1:
            return Meaning("last", f"the fit loop has been through {done} epochs")
        if done == epoch.node:
            return Meaning("next", f"the fit loop has been through {done} epochs")
        return Meaning("unknown", f"the fit loop says {done} epochs, which contradicts it")

    def step_meaning(self, step: Found, found: Sorted) -> str:
        """``global_step`` counts optimizer steps, summed over all optimizers."""
        del step, found
        return "completed"


def _place_weights(draft: Draft, found: Sorted) -> None:
    """Weights keep the names of the LightningModule: only compile and FSDP wrappers come off.

    With an averaging callback ``state_dict`` is the average and the raw weights lie elsewhere.
    """
    weights = [one for one in found.sections.pop("model", []) if one.key != RAW]
    raw, average = (*found.base, RAW), (*found.base, "state_dict")
    if is_state_dict(find(draft.root, raw)) and is_state_dict(find(draft.root, average)):
        place_names(draft, raw, ("model",), parallel=False)
        place_names(draft, average, ("ema", "weights"), parallel=False)
        count = (*found.base, AVERAGING, "n_averaged")
        if find(draft.root, count) is not None:
            draft.take(count, ("ema", "updates"))
        draft.notice(
            "info", "averaged-state-dict",
            f"an averaging callback saved this: the raw weights are those of {RAW}", "state_dict",
        )  # fmt: skip
        return
    for one in weights:
        if one.key in ("state_dict", "model") and "model" not in draft.document:
            if one.weights is not None and one.weights.kind == "names":
                place_names(draft, one.path, ("model",), parallel=False)
            elif one.weights is not None:
                place_weights(draft, one.weights, ("model",))


def epochs_done(fit_loop: Node) -> int | None:
    """How many epochs the fit loop has been through to their last batch, or None if unknown.

    A checkpoint of ``on_train_epoch_end`` is written before ``completed`` is raised, and a
    resume from it goes on with the next epoch: the last batch decides.
    """
    epoch = find(fit_loop, ("epoch_progress", "current"))
    if not isinstance(epoch, MapNode):
        return None
    completed, ready = count_of(epoch.get("completed")), count_of(epoch.get("ready"))
    if completed is None or ready is None:
        return None
    at_end = find(fit_loop, ("epoch_loop.batch_progress", "is_last_batch")) is True
    return int(completed) + (1 if at_end and ready > completed else 0)


def _version(keys: Node) -> str | None:
    named = fields(keys)
    return None if named is None else key_text(named[0].get(VERSION))


def _mode_of(state_key: Node) -> str | None:
    """The mode in a callback's key, such as ``ModelCheckpoint{'mode': 'min', ...}``."""
    if not isinstance(state_key, str):
        return None
    return next((mode for mode in ("min", "max") if f"'mode': '{mode}'" in state_key), None)

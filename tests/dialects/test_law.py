"""The law of every reading: whatever the keys are, each leaf is found again where a move says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.dialects.synonyms import SYNONYMS
from ckptkit.hooks.builtins import ckptkit_dialects
from ckptkit.nodes import GlobalName, MapNode, Record
from ckptkit.protocols import Opened, SourceView
from ckptkit.schema import run_chain
from ckptkit.verbs.inspect import survey
from ckptkit.verbs.open import Checkpoint
from tests.dialects.accounting import (
    SCALER,
    adam,
    check_accounting,
    cosine,
    linear,
    module,
    node_of,
    read_view,
    state_dict,
    tensor,
)
from tests.dialects.odd_nodes import KEYS as KNOWN_KEYS
from tests.dialects.odd_nodes import ODD

KEYS = st.one_of(
    st.sampled_from(sorted(SYNONYMS)),
    st.sampled_from(
        ["netG", "netD", "optimizer_G", "optimizer_d_state_dict", "lr_scheduler_G", "best_acc", "best_epoch",
         "best_model_path", "best", "val_loss", "train_loss", "arch", "version", "best_acc1", "best_val",
         "best_val_loss", "pytorch-lightning_version", "loops", "callbacks", "current_model_state",
         "averaging_state", "MixedPrecision", "datamodule_hyper_parameters", "meta.pt", "model.safetensors",
         "pytorch_model.bin", "optimizer.bin", "optimizer_0", "trainer_state.json", "random_states_0.pkl",
         "config.json", "n_averaged", "module.weight", "decay", "shadow_params", "initted", "ema_model.w",
         ".state", ".entries", "extra", "ema_decay", "model (2)"]),
    st.text(max_size=4),
)  # fmt: skip


def leaves():
    return st.one_of(
        st.none(), st.booleans(), st.integers(-3, 60), st.floats(allow_nan=False), st.text(max_size=3),
        st.builds(tensor), st.builds(tensor, st.just(2)),
    )  # fmt: skip


def known_parts():
    progress = {"epoch_progress": {"current": {"ready": 2, "completed": 1}}}
    makers = [
        state_dict, lambda: state_dict(prefix="module."), lambda: state_dict(prefix="_orig_mod."), adam, cosine,
        lambda: dict(SCALER), linear, lambda: module("m.Net", {}, {}, {"fc": linear()}), dict, list,
        lambda: {"n_averaged": tensor(), **state_dict(prefix="module.")}, lambda: [adam(), adam()],
        lambda: {"decay": 0.9, "num_updates": 3, "shadow_params": [tensor(2)]}, lambda: {"fit_loop": progress},
        lambda: {"initted": tensor(), "step": tensor(), "ema_model.w": tensor(2), "online_model.w": tensor(2)},
        lambda: {"state_dict": state_dict(), "model_args": {"dim": 1}, "x": 1},
        lambda: {"generator": state_dict(), "discriminator": state_dict()}, lambda: [1.0, 2.0],
        lambda: {"train": {"loss": 1.0}, "val": {"loss": 1.0}}, lambda: {"train": [1.0], "val": [2.0]},
        lambda: {"Checkpoint{'mode': 'min'}": {"monitor": "loss", "best_model_score": 1.0, "best_model_path": "/a/b"}},
        lambda: {"global_step": 3, "epoch": 0.5, "log_history": [{"loss": 1.0}], "best_metric": 2.0},
        lambda: {"optimizer": adam()}, lambda: {"n_averaged": tensor()}, lambda: {"step": 3},
        lambda: {"pytorch-lightning_version": "2.5", "epoch": 1, "state_dict": state_dict()},
    ]  # fmt: skip
    return st.sampled_from(makers).map(lambda make: node_of(make()))


VALUES = st.recursive(
    st.one_of(leaves(), known_parts()),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3).map(MapNode),
    max_leaves=6,
)
ROOTS = st.builds(
    lambda value, wrap, attrs: wrap(value, attrs),
    st.dictionaries(KEYS, VALUES, max_size=7),
    st.sampled_from([
        lambda value, attrs: MapNode(value, attrs=attrs),
        lambda value, attrs: Record(GlobalName("addict", "Dict"), "new", entries=MapNode(value)),
        lambda value, attrs: Record(GlobalName("argparse", "Namespace"), "new", (1,), states=[MapNode(value)]),
    ]),
    st.sampled_from([None, node_of({"_metadata": {"": {"version": 1}}})]),
)  # fmt: skip
DIALECTS = list(ckptkit_dialects())


@given(ROOTS, st.sampled_from(["checkpoint_epoch_7.pt", "state.ckpt", "emergency_checkpoint_oom_epoch_1.pth"]),
       st.sampled_from(["torch-zip", "folder", "dcp"]))  # fmt: skip
def test_whoever_recognises_a_tree_loses_nothing_of_it(root, name, container):
    read_view(SourceView(root=root, container=container, name=name, properties={"root": "archive"}))


@given(
    ROOTS, st.sampled_from(DIALECTS), st.sampled_from(["torch-zip", "folder", "dcp", "torchscript"])
)
def test_a_dialect_forced_on_any_tree_loses_nothing_of_it(root, dialect, container):
    view = SourceView(root=root, container=container, name="a.pt")
    check_accounting(view, dialect.interpret(view))


# -- odd nodes under every known key: whatever a file holds, nothing but our own errors ------------


def hosts():
    """Roots of every dialect, by name: what makes each of them recognise a tree."""
    core = {"model_state_dict": state_dict(), "optimizer_state_dict": adam(), "epoch": 4}
    current = {"ready": 2, "completed": 1}
    loops = {"fit_loop": {"epoch_progress": {"current": current},
                          "epoch_loop.batch_progress": {"is_last_batch": True}}}  # fmt: skip
    callback = {
        "monitor": "loss",
        "best_model_score": 1.0,
        "best_model_path": "/a/b",
        "mode": "min",
    }
    return {
        "training-dict": {**core, "step": 3, "history": {"loss": [1.0]}, "best_acc": 0.5, "args": {"fp16": True}},
        "brain": {**core, "best_val": 1.0, "val_loss": 1.0, "global_step": 8, "config": {"d_shared": 1}},
        "building-segmentation": {**core, "train_loss": [1.0] * 4, "val_loss": [1.0] * 4, "metrics": [1.0]},
        "noon2": {**core, "best_val_loss": 1.0, "scheduler": cosine(), "history": {"a": [1.0]}, "config": {"a": 1}},
        "unet-restoration": {**core, "metrics": {"train": {"l": 1.0}, "val": {"l": 1.0}}},
        "text2sign": {**core, "step": 16},
        "imagenet": {"arch": "r", "state_dict": state_dict(), "best_acc1": 1.0, "epoch": 3, "optimizer": adam()},
        "timm": {"arch": "r", "version": 2, "state_dict": state_dict(), "epoch": 3, "state_dict_ema": state_dict()},
        "lightning": {"pytorch-lightning_version": "2.5", "epoch": 1, "global_step": 3, "state_dict": state_dict(),
                      "loops": loops, "callbacks": {"Checkpoint{'mode': 'min'}": callback}},
        "hf-trainer": {"trainer_state.json": {"global_step": 3, "epoch": 0.5, "best_metric": 1.0, "log_history": []},
                       "model.safetensors": state_dict(), "optimizer.pt": adam(), "config.json": {"a": 1}},
        "accelerate": {"random_states_0.pkl": {"step": 3}, "model.safetensors": state_dict(), "optimizer.bin": adam()},
        "ema": {"model": state_dict(), "opt": adam(),
                "ema": {"decay": 0.9, "num_updates": 3, "shadow_params": [tensor(2)]}},
        "module": linear(), "averaged": {"n_averaged": tensor(), **state_dict(prefix="module.")}, "adam": adam(),
        "bare": state_dict(),
    }  # fmt: skip


def mappings_of(root):
    """Every mapping of a root, the root itself first."""
    stack, found = [root], []
    while stack:
        node = stack.pop()
        if isinstance(node, Record):
            stack.extend(node.states or [])
        elif isinstance(node, MapNode):
            found.append(node)
            stack.extend(reversed(node.values()))
    return found


def mutations(host):
    """(mapping number, keys): each key of the host by itself, known keys at its top in bunches."""
    mappings = mappings_of(node_of(hosts()[host]))
    own = [(i, [key]) for i, mapping in enumerate(mappings[:12]) for key in mapping]
    return own + [(0, KNOWN_KEYS[start::16]) for start in range(16)]


def look_at(root, name, container):
    """Read a tree the whole way that inspect goes; no dialect may be the only one to survive."""
    view = SourceView(root=root, container=container, name=name, properties={"root": "archive"})
    for dialect in DIALECTS:
        dialect.recognise(view)
    verdict, reading = read_view(view)
    chain = run_chain(reading.document, reading.version)
    opened = Opened(path=Path(name), container=container, root=root, nbytes=1, close=lambda: None)
    found = survey(
        Checkpoint(path=Path(name), opened=opened, schema_version=reading.version, document=chain.document,
                   verdict=verdict, reading=reading, notices=reading.notices)
    )  # fmt: skip
    for text in (*verdict.evidence, *(part for notice in found.notices for part in notice[1:])):
        assert len(text) < 2000


@pytest.mark.parametrize("odd", sorted(ODD))
@pytest.mark.parametrize("host", sorted(hosts()))
def test_an_odd_node_under_any_known_key_breaks_nothing(host, odd):
    names = {"text2sign": "checkpoint_epoch_7.pt", "lightning": "a.ckpt"}
    container = "folder" if host in ("hf-trainer", "accelerate") else "torch-zip"
    for index, keys in mutations(host):
        root = node_of(hosts()[host])
        mapping = mappings_of(root)[index]
        for key in keys:
            mapping[key] = ODD[odd]()
        look_at(root, names.get(host, "a.pt"), container)

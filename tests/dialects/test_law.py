"""The law of every reading: whatever the keys are, each leaf is found again where a move says."""

from hypothesis import given
from hypothesis import strategies as st

from ckptkit.dialects.synonyms import SYNONYMS
from ckptkit.hooks.builtins import ckptkit_dialects
from ckptkit.nodes import GlobalName, MapNode, Record
from ckptkit.protocols import SourceView
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

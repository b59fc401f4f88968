"""Nodes that no script means to store where they stand, and the keys under which to put them."""

import struct

from ckptkit.dialects.sorting import _EXACT
from ckptkit.nodes import Atom, GlobalName, MapNode, Record, SeqNode
from tests.dialects.accounting import adam, linear, node_of, state_dict, tensor

KEYS = sorted({
    *_EXACT, "netG", "optimizer_G", "lr_scheduler_G", "arch", "version", "d_shared",
    "pytorch-lightning_version", "loops", "fit_loop", "epoch_progress", "current", "completed", "ready",
    "callbacks", "monitor", "best_model_score", "current_model_state", "averaging_state", "MixedPrecision",
    "datamodule_hyper_parameters", "meta.pt", "model.safetensors", "pytorch_model.bin", "optimizer.bin",
    "optimizer_0", "trainer_state.json", "random_states_0.pkl", "training_args.bin", "config.json",
    "n_averaged", "module.weight", "decay", "shadow_params", "initted", "param_groups", "state", "last_epoch",
    "base_lrs", "scale", "growth_factor", "num_updates", "optimization_step", "_parameters", "_modules",
})  # fmt: skip


def numpy_scalar(text, content):
    return Atom("numpy.scalar", (text, content))


def a_cycle():
    node = MapNode()
    node["self"] = node
    node["items"] = SeqNode([node])
    return node


def a_deep_nest():
    node = MapNode({"epoch": 1})
    for level in range(60):
        node = MapNode({"model": node}) if level % 2 else SeqNode([node])
    return node


def a_record():
    return Record(
        GlobalName("odd\x1b", "Thing\udcff"), "new", (1,), states=[node_of({"epoch": 10**6000})]
    )


def a_module():
    """A module whose parts have names of every kind."""
    node = linear()
    node.state["_parameters"][10**6000] = tensor(2)
    node.state["_modules"]["\udcff"] = 10**6000
    return node


ODD = {
    "huge": lambda: 10**6000, "minus-huge": lambda: -(10**6000), "beyond-float": lambda: 1 << 2000,
    "nan": lambda: float("nan"), "inf": lambda: float("inf"), "minus-inf": lambda: float("-inf"),
    "large-float": lambda: 1e308, "complex": lambda: complex(1, float("nan")), "none": lambda: None,
    "true": lambda: True, "bytes": lambda: b"\x1b[2J", "surrogate": lambda: "\udcff", "escape": lambda: "\x1b]0;x\x07",
    "digits": lambda: "5", "many-digits": lambda: "9" * 5000, "other-digits": lambda: "²٣",
    "name": lambda: GlobalName("torch", "float32"),
    "scalar-tensor": tensor, "tensor": lambda: tensor(2, 3), "record": a_record, "module": a_module, "cycle": a_cycle,
    "deep": a_deep_nest, "empty-map": MapNode, "empty-list": lambda: SeqNode([]), "huge-list": lambda: SeqNode([10**6000]),
    "huge-keys": lambda: MapNode([(10**6000, 10**6000), (float("nan"), tensor(2)), (True, 1), (b"k", tensor(2))]),
    "surrogate-key": lambda: MapNode({"\udcff": tensor(2), "w": tensor(2)}),
    "np-int": lambda: numpy_scalar("<i8", struct.pack("<q", 5)), "np-nan": lambda: numpy_scalar("<f8", struct.pack("<d", float("nan"))),
    "np-short": lambda: numpy_scalar("<i8", b"1"), "np-odd": lambda: numpy_scalar(10**6000, 10**6000),
    "np-text": lambda: numpy_scalar("<U1", b"5\0\0\0"), "np-none": lambda: Atom("numpy.scalar", ()),
    "date": lambda: Atom("date", (2026, 1, 10**6000)), "state-dict": lambda: node_of(state_dict()), "adam": lambda: node_of(adam()),
    "list-of-adams": lambda: node_of([adam(), adam()]),
    "odd-adam": lambda: MapNode({"state": SeqNode([10**6000]), "param_groups": 10**6000}),
}  # fmt: skip

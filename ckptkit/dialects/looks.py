"""What a node looks like: a state_dict, an optimizer's state, a scheduler's, a scaler's.

Every answer looks a fixed number of levels down, so that a deep or cyclic tree costs nothing.
"""

from __future__ import annotations

from ckptkit.nodes import Atom, MapNode, Node, Path, Record, SeqNode, TensorNode
from ckptkit.tree.numbers import count_of, number_of

#: Rebuild functions whose record stands for one tensor of a kind that has no single storage.
TENSOR_MAKERS = frozenset(
    [
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch._utils", "_rebuild_qtensor"),
        ("torch._utils", "_rebuild_nested_tensor"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_parameter_with_state"),
        ("torch._utils", "_rebuild_device_tensor_from_numpy"),
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"),
        ("torch._utils", "_rebuild_xla_tensor"),
        ("torch._utils", "_rebuild_meta_tensor_no_storage"),
        ("torch._tensor", "_rebuild_from_type_v2"),
    ]
)

#: Keys that say how a training run stands; a mapping that has one is no bare state_dict.
PROGRESS_WORDS = frozenset(["epoch", "step", "global_step", "iteration", "iter", "iter_num"])


def is_tensor(node: Node) -> bool:
    """Say whether ``node`` is one tensor, plain or of a special kind."""
    if isinstance(node, TensorNode):
        return True
    return isinstance(node, Record) and tuple(node.name) in TENSOR_MAKERS


def is_number(node: Node) -> bool:
    """Say whether ``node`` is a real number, plain or of numpy (a bool is none)."""
    if isinstance(node, Atom):
        return number_of(node) is not None
    return isinstance(node, (int, float)) and not isinstance(node, bool)


def is_count(node: Node) -> bool:
    """Say whether ``node`` can be an epoch or a step: a number, digits, or a tensor of one."""
    return is_number(node) or count_of(node) is not None or is_scalar_tensor(node)


def is_scalar_tensor(node: Node) -> bool:
    """Say whether ``node`` is a tensor of one number, which only its bytes tell."""
    return isinstance(node, TensorNode) and node.shape in ((), (1,)) and node.dtype.name != "bool"


def fields(node: Node) -> tuple[MapNode, Path] | None:
    """The named parts of a mapping or of a mapping-like record, and the path to them.

    A record offers what SETITEM put into it (Lightning's AttributeDict), else its attributes
    (an ``argparse.Namespace``).
    """
    if isinstance(node, MapNode):
        return node, ()
    if isinstance(node, Record):
        if node.entries is not None and len(node.entries):
            return node.entries, (".entries",)
        if node.states and len(node.states) == 1 and isinstance(node.states[0], MapNode):
            return node.states[0], (".state",)
    return None


def is_state_dict(node: Node) -> bool:
    """Say whether ``node`` maps names to tensors.

    Lenient as files are: None, scalars and records may stand among the tensors (quantized
    modules, ``_extra_state``), but tensors are the greater part and no value is a mapping.
    """
    if not isinstance(node, MapNode):
        return False
    n_tensors = n_others = 0
    for key, value in node.items():
        if not isinstance(key, str):
            return False
        if is_tensor(value):
            n_tensors += 1
        elif key in PROGRESS_WORDS or not _may_stand_beside_tensors(key, value):
            return False
        else:
            n_others += 1
    return n_tensors > 0 and n_tensors >= n_others


def _may_stand_beside_tensors(key: str, value: Node) -> bool:
    """A scalar, the packed parameters of a quantized layer, or what a module chose to save."""
    if not isinstance(value, (MapNode, SeqNode)):
        return True
    if key.endswith(("_extra_state", "_packed_params", "_packed_params._packed_params")):
        return True
    return (
        isinstance(value, SeqNode)
        and value.kind == "tuple"
        and any(is_tensor(item) for item in value.items[:8])
    )


def is_module(node: Node) -> bool:
    """Say whether ``node`` is a pickled ``nn.Module``: the class unknown, the parts in place."""
    if not isinstance(node, Record):
        return False
    state = node.state
    return (
        isinstance(state, MapNode)
        and isinstance(state.get("_parameters"), MapNode)
        and isinstance(state.get("_modules"), MapNode)
    )


def is_optimizer(node: Node) -> bool:
    """Say whether ``node`` is the state of a torch optimizer."""
    return isinstance(node, MapNode) and "param_groups" in node and "state" in node


def is_scheduler(node: Node) -> bool:
    """Say whether ``node`` is the state of a torch learning rate scheduler."""
    if not isinstance(node, MapNode) or "param_groups" in node:
        return False
    return "last_epoch" in node and ("_step_count" in node or "base_lrs" in node or "best" in node)


def is_scaler(node: Node) -> bool:
    """Say whether ``node`` is the state of an enabled ``GradScaler``."""
    return isinstance(node, MapNode) and "growth_factor" in node and "scale" in node


def lone_state(node: Node) -> str:
    """Say whose state the whole of ``node`` is: a section, or nothing if it is none."""
    looks = (("optimizer", is_optimizer), ("scheduler", is_scheduler), ("scaler", is_scaler))
    return next((section for section, look in looks if look(node)), "")


def is_averaged_model(node: Node) -> bool:
    """Say whether ``node`` is the state_dict of ``torch.optim.swa_utils.AveragedModel``."""
    if not isinstance(node, MapNode) or "n_averaged" not in node or len(node) < 2:
        return False
    names = [key for key in node if key != "n_averaged"]
    return all(isinstance(name, str) and name.startswith("module.") for name in names)


def history_length(node: Node) -> int | None:
    """How many epochs a history tells of: the length on which all its series agree.

    Takes a list of entries, or a mapping of series, or of mappings of series (two levels).
    """
    if isinstance(node, SeqNode):
        return len(node)
    if not isinstance(node, MapNode):
        return None
    lengths = set()
    for series in node.values():
        inner = series.values() if isinstance(series, MapNode) else [series]
        lengths |= {len(item) for item in inner if isinstance(item, SeqNode) and len(item)}
    return lengths.pop() if len(lengths) == 1 else None

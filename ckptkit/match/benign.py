"""Names that never need to fail a load: counters, masks and tables that the code makes again.

A name alone is no proof: kind, dtype and shape must fit too. A parameter is never benign.
Source: PyTorch's BatchNorm, transformers' GPT-2, BERT and rotary embeddings, Swin, torchvision's
and detectron2's detectors, fairseq, thop, torch's AveragedModel.
"""

from __future__ import annotations

from collections.abc import Callable

from ckptkit.match.board import Board
from ckptkit.match.values import Entry, Shape
from ckptkit.types import DTYPES

Fits = Callable[[Shape, str], bool]  # shape, kind of dtype as in types.DType


def _counter(shape: Shape, kind: str) -> bool:
    return shape == () and kind in "iu"


def _single(shape: Shape, kind: str) -> bool:
    return shape in ((), (1,)) and kind in "fiu"


def _row(shape: Shape, kind: str) -> bool:
    return kind in "iu" and (len(shape) == 1 or (len(shape) == 2 and shape[0] == 1))


def _square(shape: Shape, kind: str) -> bool:
    return len(shape) >= 2 and shape[-1] == shape[-2] and kind in "fbiu"


def _square_index(shape: Shape, kind: str) -> bool:
    return _square(shape, kind) and kind in "iu"


def _causal(shape: Shape, kind: str) -> bool:
    return len(shape) == 4 and shape[:2] == (1, 1) and _square(shape, kind)


def _scalar(shape: Shape, kind: str) -> bool:
    return shape == () and kind == "f"


def _vector(shape: Shape, kind: str) -> bool:
    return len(shape) == 1 and kind == "f"


def _waves(shape: Shape, kind: str) -> bool:
    return 2 <= len(shape) <= 4 and kind in "fc"


def _coordinates(shape: Shape, kind: str) -> bool:
    return len(shape) == 4 and shape[-1] == 2 and kind == "f"


def _boxes(shape: Shape, kind: str) -> bool:
    return len(shape) == 2 and shape[1] == 4 and kind == "f"


def _colours(shape: Shape, kind: str) -> bool:
    return sorted(shape)[:-1] == [1] * (len(shape) - 1) and 1 <= len(shape) <= 4 and kind == "f"


#: By the last segment of the name; what it must look like.
_LEAVES: dict[str, Fits] = {
    "num_batches_tracked": _counter,
    "position_ids": _row, "token_type_ids": _row,
    "masked_bias": _scalar, "attn_mask": _square, "causal_mask": _square, "tril": _square,
    "inv_freq": _vector, "original_inv_freq": _vector,
    "cos_cached": _waves, "sin_cached": _waves, "freqs_cis": _waves,
    "relative_position_index": _square_index, "relative_coords_table": _coordinates,
    "total_ops": _single, "total_params": _single,
    "pixel_mean": _colours, "pixel_std": _colours,
    "_float_tensor": _single, "version": _single,
}  # fmt: skip

#: The causal mask of GPT-2's and minGPT's attention is called like a parameter: its module, too,
#: must be an attention.
_CAUSAL = ("bias", "mask")
_ATTENTIONS = ("attn", "attention", "self_attn", "self_attention", "crossattention", "mixer")


def is_benign(entry: Entry) -> bool:
    """Tell whether the code makes this tensor again, so that neither side needs it."""
    if entry.kind in ("parameter", "value") or not entry.dtype:
        return False
    path, _, leaf = entry.name.rpartition(".")
    kind = DTYPES[entry.dtype].kind
    if fits := _LEAVES.get(leaf):
        return fits(entry.shape, kind)
    above = path.rpartition(".")[2]
    if leaf in _CAUSAL and above in _ATTENTIONS:
        return _causal(entry.shape, kind)
    # detectron2's anchors are numbered, and lie where their generator does
    return "cell_anchors." in entry.name and leaf.isdigit() and _boxes(entry.shape, kind)


def is_bookkeeping(entry: Entry) -> bool:
    """Tell whether a stored tensor only counted something for a wrapper that is not here."""
    return entry.name.rpartition(".")[2] == "n_averaged" and entry.dtype == "int64"


def set_benign_apart(board: Board) -> None:
    """Take benign names that nothing was paired with: wanted keep their value, stored are left."""
    for name in [name for name in board.free_wanted if is_benign(board.wanted[name])]:
        del board.free_wanted[name]
        board.defaulted.add(name)
    for name in list(board.free_stored):
        entry = board.stored[name]
        if is_benign(entry) or is_bookkeeping(entry):
            del board.free_stored[name]
            board.benign.add(name)


def release_reshaped(board: Board) -> None:
    """Part benign pairs whose shapes differ (another context length): both sides need neither."""
    for target, claim in list(board.claims.items()):
        wanted, stored = board.wanted[target], board.stored[claim.source]
        if wanted.shape != stored.shape and is_benign(wanted) and is_benign(stored):
            del board.claims[target]
            board.defaulted.add(target)
            board.benign.add(claim.source)

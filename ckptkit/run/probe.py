"""Proof that a resume continues: one fixed computation, its outcome stored with every checkpoint.

The script hands over a function that computes something from the live objects on fixed data, a
loss for example. It is called without disturbing any random stream; after a resume it must give
the very bits that it gave when the checkpoint was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ckptkit.errors import MismatchError
from ckptkit.run.rng import put_back, seed_streams, take_mark
from ckptkit.storage.digest import digest_of_bytes

ProbeFunction = Callable[[], Any]
_SEED = 0  # of the streams while it runs, so that dropout is the same each time


def take_probe(function: ProbeFunction) -> dict[str, Any]:
    """Compute it; return the section ``probe``: its digest, and its value where it is a number."""
    streams = take_mark()
    try:
        seed_streams(_SEED)
        torch.manual_seed(_SEED)  # accelerators too
        with torch.no_grad():
            outcome = function()
    finally:
        put_back(streams)
    tensor = outcome if isinstance(outcome, torch.Tensor) else torch.tensor(outcome)
    flat = tensor.detach().cpu().contiguous()
    raw = flat.reshape(-1).view(torch.uint8).numpy().tobytes()
    told: dict[str, Any] = {"digest": digest_of_bytes(raw), "dtype": str(flat.dtype)}
    if flat.numel() == 1:
        told["value"] = float(flat)
    return told


def compare_probe(function: ProbeFunction, stored: Any) -> str:
    """Compute it again and say that it is the same. Raises: MismatchError if it is not."""
    if not isinstance(stored, Mapping) or "digest" not in stored:
        raise MismatchError(
            "probe", "the checkpoint has none", "one that was stored by a run with a probe",
            "resume without the self-test, or from a checkpoint of a run that has a probe",
        )  # fmt: skip
    now = take_probe(function)
    if now["digest"] != stored["digest"]:
        raise MismatchError(
            "probe", f"it gives {now.get('value', 'other bytes')} after the resume",
            f"the bits of {stored.get('value', 'the stored outcome')}, as when it was saved",
            "the data, the code, the device or the versions of the libraries have changed: compare "
            "them with those of then, or resume without the self-test",
        )  # fmt: skip
    return f"self-test: the probe gives the bits that it gave when it was saved ({_shown(now)})"


def _shown(told: Mapping[str, Any]) -> str:
    value = told.get("value")
    return f"{value:.6g}" if isinstance(value, float) else bytes(told["digest"]).hex()[:12]

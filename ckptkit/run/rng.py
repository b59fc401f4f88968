"""Every random stream of the process: taken cheaply at each step, stored as data, put back.

Python's and NumPy's streams are those of the modules; a ``Generator`` of NumPy or torch that a
script makes for itself is covered when it is handed over by name.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from ckptkit.errors import MismatchError

_MT_WORDS = 624  # of the Mersenne Twister that Python and NumPy's legacy stream share


class RngMark(NamedTuple):
    """The streams at one moment, as their owners hand them out; ``as_tree`` makes it data.

    ``devices``: accelerator type -> the state of each of its devices, in order.
    """

    python: Any
    numpy: Any
    torch_cpu: torch.Tensor
    devices: Mapping[str, list[torch.Tensor]]
    generators: Mapping[str, Any]


def take_mark(generators: Mapping[str, Any] | None = None) -> RngMark:
    """Take the state of every stream; some 20 microseconds on a CPU."""
    numpy = _numpy_random()
    return RngMark(
        random.getstate(),
        None if numpy is None else numpy.get_state(),
        torch.get_rng_state(),
        {kind: list(_device_states(module)) for kind, module in _accelerators()},
        {name: _generator_state(one) for name, one in (generators or {}).items()},
    )


def put_back(mark: RngMark, generators: Mapping[str, Any] | None = None) -> list[str]:
    """Make every stream go on from ``mark``; return, in words, what could not be.

    Raises: MismatchError if a generator was handed over that the mark does not know, or of
    another kind.
    """
    untold: list[str] = []
    random.setstate(mark.python)
    numpy = _numpy_random()
    if mark.numpy is not None and numpy is None:
        import numpy.random as numpy
    if mark.numpy is not None and numpy is not None:
        numpy.set_state(mark.numpy)  # noqa: NPY002  scripts do draw from it
    torch.set_rng_state(mark.torch_cpu)
    present = dict(_accelerators())
    for kind, states in mark.devices.items():
        untold += _put_devices(kind, present.get(kind), states)
    untold += [f"none of {kind} was stored" for kind in present if kind not in mark.devices]
    for name, one in (generators or {}).items():
        _put_generator(name, one, mark.generators.get(name))
    return untold


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give the CPU streams back as they were, whatever the block draws from them."""
    numpy = _numpy_random()
    python, cpu = random.getstate(), torch.get_rng_state()
    legacy = None if numpy is None else numpy.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(cpu)
        if numpy is not None and legacy is not None:
            numpy.set_state(legacy)


def seed_streams(seed: int) -> None:
    """Start the CPU streams anew from 64 bits, leaving those of accelerators alone."""
    random.seed(seed)
    torch.default_generator.manual_seed(seed & 0x7FFF_FFFF_FFFF_FFFF)
    numpy = _numpy_random()
    if numpy is not None:
        numpy.seed(seed & 0xFFFF_FFFF)


# -- as data --------------------------------------------------------------------------------------


def as_tree(mark: RngMark) -> dict[str, Any]:
    """The section ``rng``: tensors and plain values. Source: docs/format.md section "rng"."""
    version, words, gauss = mark.python
    tree: dict[str, Any] = {
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
        "torch": mark.torch_cpu,
    }
    if mark.numpy is not None:
        kind, words, position, has_gauss, gauss = mark.numpy
        words = torch.tensor([int(word) for word in words])
        tree["numpy"] = {
            "kind": kind, "words": words, "position": int(position),
            "has_gauss": int(has_gauss), "gauss": float(gauss),
        }  # fmt: skip
    if mark.devices:
        tree["devices"] = {kind: list(states) for kind, states in mark.devices.items()}
    if mark.generators:
        tree["generators"] = dict(mark.generators)
    return tree


def from_tree(tree: Mapping[str, Any]) -> RngMark:
    """Return the mark that ``as_tree`` stored. Raises: MismatchError if it is none."""
    try:
        python = tree["python"]
        words = tuple(int(word) for word in python["words"])
        legacy = tree.get("numpy")
        return RngMark(
            (int(python["version"]), words, python["gauss"]),
            None if legacy is None else _numpy_state(legacy),
            tree["torch"],
            {kind: list(states) for kind, states in tree.get("devices", {}).items()},
            tree.get("generators", {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise MismatchError(
            "rng", f"is no set of random streams ({exc!r:.80})", "a section that a run has written",
            "resume without it by naming rng in allow_missing",
        ) from exc  # fmt: skip


def _numpy_state(legacy: Mapping[str, Any]) -> Any:
    import numpy as np

    words = np.array([int(word) for word in legacy["words"]], dtype=np.uint32)
    if len(words) != _MT_WORDS:
        raise ValueError(f"{len(words)} words of NumPy's stream")
    return legacy["kind"], words, legacy["position"], legacy["has_gauss"], legacy["gauss"]


# -- the streams, one by one ----------------------------------------------------------------------


def _numpy_random() -> Any:
    """``numpy.random`` if this process has it: a script that never drew from it has no stream."""
    return sys.modules.get("numpy.random")


def _accelerators() -> Iterator[tuple[str, Any]]:
    """Every accelerator that is in use: asking an idle one would start it."""
    cuda = sys.modules.get("torch.cuda")
    if cuda is not None and cuda.is_initialized():
        yield "cuda", cuda
    if torch.backends.mps.is_available():
        yield "mps", torch.mps
    xpu = getattr(torch, "xpu", None)
    if xpu is not None and xpu.is_available() and xpu.is_initialized():
        yield "xpu", xpu


def _device_states(module: Any) -> Iterator[torch.Tensor]:
    if hasattr(module, "get_rng_state_all"):
        yield from module.get_rng_state_all()
    else:
        yield module.get_rng_state()


def _put_devices(kind: str, module: Any, states: list[torch.Tensor]) -> list[str]:
    if module is None:
        return [f"{len(states)} of {kind} were stored, which is not in use here"]
    n_here = module.device_count() if hasattr(module, "device_count") else 1
    for index, state in enumerate(states[:n_here]):
        if hasattr(module, "get_rng_state_all"):
            module.set_rng_state(state.cpu(), index)
        else:
            module.set_rng_state(state.cpu())
    if n_here == len(states):
        return []
    return [f"{len(states)} of {kind} were stored, and {n_here} of its devices are here"]


def _generator_state(one: Any) -> Any:
    if isinstance(one, torch.Generator):
        return one.get_state()
    if isinstance(one, random.Random):
        version, words, gauss = one.getstate()
        return {"version": version, "words": torch.tensor(words), "gauss": gauss}
    return _bits(one).state


def _bits(one: Any) -> Any:
    """The bit generator of a ``numpy.random.Generator``, which holds all that it remembers."""
    bits = getattr(one, "bit_generator", None)
    if bits is None:
        raise MismatchError(
            "rng", f"a {type(one).__qualname__} was handed over as a generator",
            "a torch.Generator, a numpy.random.Generator or a random.Random",
        )  # fmt: skip
    return bits


def _put_generator(name: str, one: Any, state: Any) -> None:
    if state is None:
        raise MismatchError(
            f"rng/generators/{name}", "no stream of this name was stored",
            "the names under which generators were handed over", "hand over the same ones",
        )  # fmt: skip
    try:
        if isinstance(one, torch.Generator):
            one.set_state(state)
        elif isinstance(one, random.Random):
            words = tuple(int(word) for word in state["words"])
            one.setstate((state["version"], words, state["gauss"]))
        else:
            _bits(one).state = state
    except (TypeError, ValueError, KeyError, RuntimeError) as exc:
        raise MismatchError(
            f"rng/generators/{name}", f"the stored stream does not fit ({exc!s:.100})",
            f"that of a {type(one).__qualname__}", "hand over a generator of the same kind",
        ) from exc  # fmt: skip

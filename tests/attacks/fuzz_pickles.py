"""Mutants of pickle streams, and training states with the keys of real frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.attacks.build_pickle import Raw, build, call, const, integer, name, new, stream, tensor
from tests.attacks.build_zip import members, write_zip
from tests.attacks.fuzz_bytes import INTEGERS, Dice, Files, bump
from tests.attacks.fuzz_seeds import STORAGES, Seeds


def mutate_pickle(dice: Dice, seeds: Seeds, start: Sequence[bytes] | None = None) -> bytes:
    """Insert, delete, swap, repeat, replace and tweak opcodes."""
    ops = list(dice.choice(seeds.pickles) if start is None else start)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        at = dice.randrange(len(ops)) if ops else 0
        what = dice.randrange(9)
        if what == 0 and ops:
            del ops[at]
        elif what == 1:
            ops.insert(at, dice.choice(seeds.opcodes))
        elif what == 2 and ops:
            other = dice.randrange(len(ops))
            ops[at], ops[other] = ops[other], ops[at]
        elif what == 3 and ops:
            ops[at:at] = ops[at : at + dice.randrange(1, 8)] * dice.choice((1, 1, 2, 20))
        elif what == 4 and ops:
            ops[at] = tweak(dice, seeds, ops[at])
        elif what == 5 and ops:
            ops[at] = dice.choice(seeds.opcodes)
        elif what == 6:
            donor = dice.choice(seeds.pickles)
            first = dice.randrange(len(donor))
            ops[at:at] = donor[first : first + dice.randrange(1, 20)]
        elif what == 7:
            ops.insert(at, integer(dice.choice(INTEGERS)))
        elif ops:
            del ops[at : at + dice.randrange(1, 10)]
    return b"".join(ops)


def tweak(dice: Dice, seeds: Seeds, op: bytes) -> bytes:
    """Change the argument of one opcode."""
    if op[:1] in b"KMJI\x8a\x8bLG" and op:
        return integer(dice.choice(INTEGERS))
    if op.startswith(b"c"):
        return dice.choice(seeds.names)
    if len(op) > 1:
        return op[:1] + bump(dice, op[1:])
    return bytes([dice.randrange(256)])


def framework(dice: Dice, seeds: Seeds) -> Files:
    """A training state with the keys of the frameworks and values of any kind below them."""
    state = {dice.choice(seeds.words): value(dice, seeds, 0) for _ in range(dice.randrange(1, 9))}
    for key in dice.sample(USUAL, dice.randrange(len(USUAL))):
        state[key] = value(dice, seeds, 0) if dice.random() < 0.5 else usual(dice, key)
    return {"": write_zip(members(stream(const(state), 3), STORAGES))}


USUAL = ("epoch", "global_step", "state_dict", "model", "optimizer", "model_state_dict", "optimizer_states", "best", "step",
         "optimizer_state_dict", "scheduler", "ema", "lr_schedulers", "scaler", "config", "history", "callbacks", "loops")  # fmt: skip


def usual(dice: Dice, key: str) -> Any:
    """What an honest trainer puts under a key."""
    weights = {
        f"{dice.choice(('', 'module.', '_orig_mod.'))}layer.{i}.weight": tensor() for i in range(3)
    }
    if "optimizer" in key:
        group = {"lr": 0.1, "params": [0, 1, dice.choice((2, "x", -1))]}
        return {"state": {0: {"exp_avg": tensor(), "step": 3}}, "param_groups": [group]}
    if key in ("epoch", "global_step", "step", "best"):
        return dice.choice((3, -1, 2.5, "7", None, 2**70, tensor()))
    return weights


def value(dice: Dice, seeds: Seeds, depth: int) -> Any:
    """A node of any kind, at most four levels deep."""
    what = dice.randrange(12)
    if what < 3 and depth < 4:
        keys = [
            dice.choice(
                (
                    dice.choice(seeds.words),
                    dice.choice(("0", "1", "")),
                    dice.choice((0, 1, 2.5, None, -1)),
                )
            )
            for _ in range(4)
        ]
        return {key: value(dice, seeds, depth + 1) for key in keys}
    if what < 5 and depth < 4:
        return [value(dice, seeds, depth + 1) for _ in range(dice.randrange(4))]
    if what == 5:
        return tensor()
    if what == 6:
        return dice.choice(INTEGERS)
    if what == 7:
        return Raw(dice.choice(seeds.names))
    if what == 8:
        return new(name("models", "Net"), *(["x"] * dice.randrange(2)))
    if what == 9:
        return build(
            call(name("argparse", "Namespace")), {dice.choice(seeds.words): dice.choice(INTEGERS)}
        )
    return dice.choice(
        (
            None,
            True,
            0.5,
            float("nan"),
            float("-inf"),
            "",
            dice.choice(seeds.words),
            b"x",
            (),
            "\x1b[2J",
        )
    )

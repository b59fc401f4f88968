"""Carry out the restore of one module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ckptkit.errors import MismatchError
from ckptkit.match.values import Pair
from ckptkit.nodes import MapNode, TensorNode
from ckptkit.report.values import ComponentReport
from ckptkit.torch_bridge.materialise import materialise, zero
from ckptkit.torch_bridge.resizing import corner, put
from ckptkit.torch_bridge.revive import revive
from ckptkit.torch_bridge.values import Fill
from ckptkit.verbs.restoring.asked_report import report_asked
from ckptkit.verbs.restoring.asking import Asked, ask
from ckptkit.verbs.restoring.digests import DigestBook
from ckptkit.verbs.restoring.half_done import HALF_DONE
from ckptkit.verbs.restoring.module_plan import ModulePlan
from ckptkit.verbs.restoring.planned import Request
from ckptkit.verbs.section_state import check_digests

_COPIED = ("copy", "slice", "product")


class ModuleActs:
    """The three acts of ``Planned`` for a module."""

    def __init__(self, made: ModulePlan, request: Request) -> None:
        self._made, self._request = made, request
        self._moved: dict[int, Any] = {}
        self._asked: tuple[Asked, ...] = made.asked

    def prepare(self) -> Sequence[Fill]:
        """Give memory to what is to be filled, and name every tensor with its bytes.

        Raises: ChecksumError for damage in what is read by other ways than ``filling``; that is
        found before anything is changed.
        """
        made = self._made
        self._check_others()
        self._moved = materialise(made.live, self._without_memory(), self._request.device)
        for name in made.unfilled.counters:
            zero(self._live(name))
        pairs = [pair for pair in made.plan.pairs if pair.action in _COPIED]
        if any(entry.tie >= 0 for entry in made.entries.values()):
            pairs = self._one_of_a_tie(pairs)
        if self._moved or any(pair.action != "copy" for pair in pairs):
            return [self._fill(pair) for pair in pairs]
        tensors, nodes, prefix = made.wanted.tensors, made.stored.nodes, f"{made.stored.source}/"
        rows = ((tensors[pair.target], nodes[pair.source], prefix + pair.source) for pair in pairs)
        return [Fill._make((*row, b"", None, None)) for row in rows]

    def finish(self) -> None:
        """Let submodules load themselves, and put in what the caller's function made.

        Raises: MismatchError if one refuses now; ContainerError.
        """
        asked = []
        for one in self._made.asked:
            outcome = ask(self._made.live, one, self._made.stored)
            if outcome.errors:
                seen = f"its own load_state_dict failed: {outcome.errors[0]}"
                raise MismatchError(one.path or "the module", seen, "no error", HALF_DONE)
            asked.append(one._replace(outcome=outcome))
        self._asked = tuple(asked)
        for pair in self._made.plan.pairs:
            if pair.action == "custom" and pair.how != "tie":
                self._resize(pair)

    def outcome(self, report: ComponentReport) -> ComponentReport:
        """Put what the submodules really said in the place of what they were expected to say.

        Raises: MismatchError if that is something that the policy does not allow.
        """
        if self._asked == self._made.asked:
            return report
        made, policy = self._made, self._request.policy
        before = report_asked(made.asked, made.plan, made.entries, policy)
        now = report_asked(self._asked, made.plan, made.entries, policy)
        if now.faults:
            raise MismatchError(report.name, "; ".join(now.faults), "all of it", HALF_DONE)
        lines = [line for line in report.lines if line not in set(before.lines)]
        return replace(report, lines=(*now.lines, *lines))

    def _without_memory(self) -> list[Any]:
        made = self._made
        names = [pair.target for pair in made.plan.pairs if pair.action != "skip"]
        names += made.unfilled.counters
        tensors = [made.wanted.tensors[name] for name in names]
        for one in made.asked:
            part = made.live.get_submodule(one.path)
            tensors += [*part.parameters(), *(b for _, b in part.named_buffers())]
        return [tensor for tensor in tensors if tensor.is_meta]

    def _live(self, name: str) -> Any:
        tensor = self._made.wanted.tensors[name]
        return self._moved.get(id(tensor), tensor)

    def _one_of_a_tie(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Fill shared memory once, by the last of its names, as ``load_state_dict`` would."""
        kept: dict[object, Pair] = {}
        for pair in pairs:
            tie = self._made.entries[pair.target].tie
            key = pair.target if tie < 0 else tie
            if pair.how != "tie" or key not in kept:
                kept[key] = pair
        return list(kept.values())

    def _fill(self, pair: Pair) -> Fill:
        stored = self._made.stored
        node: TensorNode = stored.nodes[pair.source]
        tensor, where = self._live(pair.target), f"{stored.source}/{pair.source}"
        if pair.action == "slice":
            part, narrowed = corner(tensor, node)
            return Fill(part, narrowed, where, whole=node)
        factor = stored.nodes[pair.factor] if pair.action == "product" else None
        return Fill(tensor, node, where, factor=factor)

    def _resize(self, pair: Pair) -> None:
        """Let the caller's function make a tensor of the live shape.

        Raises: MismatchError if it made something else.
        """
        resize = self._request.policy.on_shape.resize
        assert resize is not None
        node, live = self._made.stored.nodes[pair.source], self._live(pair.target)
        made = resize(pair.target, revive(node), live)
        if not put(live, made):
            seen = f"on_shape made {tuple(getattr(made, 'shape', ())) or type(made).__name__}"
            raise MismatchError(
                pair.target, seen, f"a tensor of shape {tuple(live.shape)}", HALF_DONE
            )

    def _check_others(self) -> None:
        """Compare the digests of what submodules load themselves, and of what is resized."""
        stored, plan = self._made.stored, self._made.plan
        names = {source for one in self._made.asked for source in one.sources.values()}
        names |= {pair.source for pair in plan.pairs if pair.action == "custom"}
        if names:
            book = self._request.digests or DigestBook(self._request.checkpoint)
            chosen = MapNode((name, node) for name, node in stored.nodes.items() if name in names)
            check_digests(chosen, stored.source, book)

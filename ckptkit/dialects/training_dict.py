"""The ``{epoch, model_state_dict, optimizer_state_dict, ...}`` family under all its key names."""

from __future__ import annotations

from collections.abc import Callable

from ckptkit.dialects import filling
from ckptkit.dialects.draft import Draft
from ckptkit.dialects.looks import is_optimizer, is_scaler, is_scheduler, lone_state
from ckptkit.dialects.progress import (
    UNTOLD,
    Meaning,
    by_history,
    by_name,
    step_meaning,
    uncounted,
)
from ckptkit.dialects.sorting import Found, Sorted, sort_keys
from ckptkit.nodes import Node
from ckptkit.protocols import Reading, Recognition, SourceView
from ckptkit.tree.numbers import count_of

#: Sections that show somebody saved a training run and not only weights.
TRAINING_SIGNS = ("optimizer", "scheduler", "scaler", "epoch", "step", "best", "history")


class TrainingDict:
    """A training dict that no framework wrote. More exact dialects derive from this one."""

    name = "training-dict"
    title = "Training dict (model_state_dict, optimizer_state_dict, ...)"

    def recognise(self, view: SourceView) -> Recognition | None:
        """60 with weights and a sign of training, 55 with weights beside other keys.

        54 for the state of an optimizer, a scheduler or a scaler alone, or without weights.
        """
        if alone := lone_state(view.root):
            return Recognition(54, (f"the state of one {alone}, and nothing else",))
        found = sort_keys(view.root)
        if found is None:
            return None
        if not (found.has("model") or found.has("ema")):
            return _without_weights(found)
        signs = [section for section in TRAINING_SIGNS if found.has(section)]
        first = found.first("model") or found.first("ema")
        key = first.key if first else ""
        if len(found.keys) == 1 and not signs:
            return None  # one wrapper around weights: the bare dialect unwraps it
        told = [f"weights under {key!r}"]
        told += [f"{sign} under {one.key!r}" for sign in signs if (one := found.first(sign))]
        return Recognition(60 if signs else 55, tuple(told))

    def interpret(self, view: SourceView) -> Reading:
        """Place every key by what it is called and what it holds."""
        draft = Draft(view)
        alone, found = lone_state(view.root), sort_keys(view.root)
        if alone:
            draft.take((), (alone,))
        elif found is not None:
            self.fill(draft, found)
        return draft.reading()

    def fill(self, draft: Draft, found: Sorted) -> None:
        """Place all sections; a derived dialect may place some before."""
        filling.place_model(draft, found)
        filling.place_ema(draft, found)
        for section in ("optimizer", "scheduler", "scaler", "config", "rng"):
            filling.place_section(draft, found, section)
        filling.place_history(draft, found)
        filling.place_metrics(draft, found)
        self.fill_best(draft, found)
        self.fill_progress(draft, found)
        filling.tell_what_lacks(draft, found)

    def fill_best(self, draft: Draft, found: Sorted) -> None:
        """Place the best value so far."""
        filling.place_best(draft, found)

    def fill_progress(self, draft: Draft, found: Sorted) -> None:
        """Place epoch, step and samples with what they mean."""
        step = _likeliest(found, "step")
        if step is not None:
            draft.take(step.path, ("step",))
            draft.say(("step_means",), self.step_meaning(step, found))
        samples = _likeliest(found, "samples")
        if samples is not None:
            draft.take(samples.path, ("samples",))
        epoch = _likeliest(found, "epoch")
        if epoch is None:
            return
        count = count_of(epoch.node)
        if count is None:
            meaning = uncounted(epoch.node)
            told = f"{epoch.key} is {meaning.why}"
        else:
            meaning = self.epoch_meaning(epoch._replace(node=count), found, draft.view)
            told = f"{epoch.key} {count}: {meaning.why}"
        draft.take(epoch.path, ("epoch",), meaning.why)
        draft.say(("epoch_means",), meaning.means)
        code = "epoch-unknown" if meaning.means == "unknown" else "epoch-meaning"
        # Most scripts leave it open; only evidence that contradicts itself is worth a warning.
        level = "info" if meaning == UNTOLD or meaning.means != "unknown" else "warning"
        draft.notice(level, code, told, epoch.key)

    def epoch_meaning(self, epoch: Found, found: Sorted, view: SourceView) -> Meaning:
        """What the stored epoch means, by the evidence in the file alone."""
        del view
        named = by_name(epoch.key)
        told = next(
            (
                m
                for one in found.sections.get("history", ())
                if (m := by_history(epoch.node, one.node))
            ),
            None,
        )
        return named or told or UNTOLD

    def step_meaning(self, step: Found, found: Sorted) -> str:
        """What the stored step means."""
        del found
        return step_meaning(step.key)


def _likeliest(found: Sorted, section: str) -> Found | None:
    """The likeliest one that can be counted with; else the likeliest at all."""
    group = found.sections.get(section, [])
    return next((one for one in group if count_of(one.node) is not None), found.first(section))


def _without_weights(found: Sorted) -> Recognition | None:
    """States of training whose own keys prove them, with no weights beside them."""
    looks: tuple[tuple[str, Callable[[Node], bool]], ...] = (
        ("optimizer", is_optimizer), ("scheduler", is_scheduler), ("scaler", is_scaler),
    )  # fmt: skip
    told = [
        f"{section} under {one.key!r}, and no weights"
        for section, look in looks
        for one in found.sections.get(section, ())[:1]
        if look(one.node)
    ]
    return Recognition(54, tuple(told)) if told else None

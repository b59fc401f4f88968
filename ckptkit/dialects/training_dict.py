"""The ``{epoch, model_state_dict, optimizer_state_dict, ...}`` family under all its key names."""

from __future__ import annotations

from ckptkit.dialects import filling
from ckptkit.dialects.draft import Draft
from ckptkit.dialects.progress import Meaning, by_history, by_name, step_meaning
from ckptkit.dialects.sorting import Found, Sorted, sort_keys
from ckptkit.protocols import Reading, Recognition, SourceView

#: Sections that show somebody saved a training run and not only weights.
TRAINING_SIGNS = ("optimizer", "scheduler", "scaler", "epoch", "step", "best", "history")


class TrainingDict:
    """A training dict that no framework wrote. More exact dialects derive from this one."""

    name = "training-dict"
    title = "Training dict (model_state_dict, optimizer_state_dict, ...)"

    def recognise(self, view: SourceView) -> Recognition | None:
        """60 with weights and a sign of training, 55 with weights beside other keys."""
        found = sort_keys(view.root)
        if found is None or not (found.has("model") or found.has("ema")):
            return None
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
        found = sort_keys(view.root)
        if found is not None:
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
        step = found.first("step")
        if step is not None:
            draft.take(step.path, ("step",))
            draft.say(("step_means",), self.step_meaning(step, found))
        samples = found.first("samples")
        if samples is not None:
            draft.take(samples.path, ("samples",))
        epoch = found.first("epoch")
        if epoch is None:
            return
        meaning = self.epoch_meaning(epoch, found, draft.view)
        draft.take(epoch.path, ("epoch",), meaning.why)
        draft.say(("epoch_means",), meaning.means)
        if meaning.means == "unknown":
            draft.notice(
                "warning", "epoch-unknown",
                f"{epoch.key} is {epoch.node}, and {meaning.why}", epoch.key,
            )  # fmt: skip
        else:
            draft.notice(
                "info", "epoch-meaning", f"{epoch.key} {epoch.node}: {meaning.why}", epoch.key
            )

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
        return (
            named
            or told
            or Meaning(
                "unknown",
                "nothing in the file tells whether it is the last finished epoch or the next one",
            )
        )

    def step_meaning(self, step: Found, found: Sorted) -> str:
        """What the stored step means."""
        del found
        return step_meaning(step.key)

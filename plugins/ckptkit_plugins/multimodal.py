"""The multimodal trainer, offered: registration and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.plugin import Action, SectionMigrator, Trainer, hookimpl

NEEDS = ("torch", "numpy", "transformers", "tokenizers", "torchmetrics", "PIL", "matplotlib")
PLACE = "ckptkit_trainers.multimodal"


@hookimpl
def ckptkit_trainers() -> Iterable[Trainer]:
    """Offer the trainer and its two actions."""
    sample = Action(
        name="sample", title="Find images by a caption, or captions by an image",
        options=f"{PLACE}.config:SampleOptions", call=f"{PLACE}.sample:sample",
    )  # fmt: skip
    evaluate = Action(
        name="evaluate", title="Tell R@1, R@5, R@10 and the median rank, both ways",
        options=f"{PLACE}.config:EvaluateOptions", call=f"{PLACE}.evaluate:evaluate",
    )  # fmt: skip
    return [
        Trainer(
            name="multimodal", title="Pictures, captions and sounds in one space",
            config=f"{PLACE}.config:Config", train=f"{PLACE}.train:train",
            actions=(sample, evaluate),
            needs=NEEDS,
            install="ckptkit[trainers]", versions={"model": 3},
        )
    ]  # fmt: skip


@hookimpl
def ckptkit_migrators() -> Iterable[SectionMigrator]:
    """Offer what leads old brains to today's."""
    from ckptkit_trainers.multimodal.migrators import MIGRATORS

    return MIGRATORS

"""The diffusion trainer, offered: registration and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.plugin import Action, SectionMigrator, Trainer, hookimpl

PLACE = "ckptkit_trainers.diffusion"


@hookimpl
def ckptkit_trainers() -> Iterable[Trainer]:
    """Offer the trainer and its two actions."""
    sample = Action(
        name="sample", title="Draw clips from captions, as GIFs and a contact sheet",
        options=f"{PLACE}.config:SampleOptions", call=f"{PLACE}.sample:sample",
    )  # fmt: skip
    evaluate = Action(
        name="evaluate", title="Tell the held-out loss, and whether drawn digits are recognised",
        options=f"{PLACE}.config:EvaluateOptions", call=f"{PLACE}.evaluate:evaluate",
    )  # fmt: skip
    return [
        Trainer(
            name="diffusion", title="Text to sign-language GIF: diffusion of short clips",
            config=f"{PLACE}.config:Config", train=f"{PLACE}.train:train",
            actions=(sample, evaluate),
            needs=("torch", "diffusers", "transformers", "tokenizers", "sklearn", "PIL"),
            install="ckptkit[trainers]", versions={"model": 3},
        )
    ]  # fmt: skip


@hookimpl
def ckptkit_migrators() -> Iterable[SectionMigrator]:
    """Offer what leads old models to today's."""
    from ckptkit_trainers.diffusion.migrators import MIGRATORS

    return MIGRATORS

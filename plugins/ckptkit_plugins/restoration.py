"""The restoration trainer, offered: registration and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.plugin import Action, SectionMigrator, Trainer, hookimpl

PLACE = "ckptkit_trainers.restoration"


@hookimpl
def ckptkit_trainers() -> Iterable[Trainer]:
    """Offer the trainer and its two actions."""
    sample = Action(
        name="sample", title="Denoise pictures of your own, or the held-out photographs",
        options=f"{PLACE}.config:SampleOptions", call=f"{PLACE}.sample:sample",
    )  # fmt: skip
    evaluate = Action(
        name="evaluate", title="Tell PSNR and SSIM at several levels of noise",
        options=f"{PLACE}.config:EvaluateOptions", call=f"{PLACE}.evaluate:evaluate",
    )  # fmt: skip
    return [
        Trainer(
            name="restoration", title="A U-Net takes Gaussian noise out of photographs",
            config=f"{PLACE}.config:Config", train=f"{PLACE}.train:train",
            actions=(sample, evaluate), needs=("torch", "numpy", "torchmetrics", "PIL"),
            install="ckptkit[trainers]", versions={"model": 3},
        )
    ]  # fmt: skip


@hookimpl
def ckptkit_migrators() -> Iterable[SectionMigrator]:
    """Offer what leads old networks to today's."""
    from ckptkit_trainers.restoration.migrators import MIGRATORS

    return MIGRATORS

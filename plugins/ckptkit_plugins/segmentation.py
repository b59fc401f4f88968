"""Offers the segmentation trainer: its commands, and how its old models become today's."""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.plugin import Action, SectionMigrator, Trainer, hookimpl

_HOME = "ckptkit_trainers.segmentation"


@hookimpl
def ckptkit_trainers() -> Iterable[Trainer]:
    """Buildings in aerial pictures."""
    return (
        Trainer(
            name="segmentation",
            title="Find buildings in aerial pictures: SegFormer, BuildFormer, U-Net",
            config=f"{_HOME}.config:Config",
            train=f"{_HOME}.train:train",
            actions=(
                Action(
                    name="sample", title="masks and overlays of pictures",
                    options=f"{_HOME}.config:SampleOptions", call=f"{_HOME}.sample:sample",
                ),
                Action(
                    name="evaluate", title="IoU, F1 and boundary F1 by split and threshold",
                    options=f"{_HOME}.config:EvaluateOptions", call=f"{_HOME}.evaluate:evaluate",
                ),
            ),
            needs=("torch", "transformers", "torchmetrics", "PIL", "numpy"),
            install="ckptkit[trainers]",
            versions={"model": 2},
        ),
    )  # fmt: skip


@hookimpl
def ckptkit_migrators() -> Iterable[SectionMigrator]:
    """Version 1 of the model, with the names of the scripts before, to version 2."""
    from ckptkit_trainers.segmentation.migrators import MIGRATORS

    return MIGRATORS

"""What the package offers to ckptkit: names alone, so that nothing heavy is imported."""

from ckptkit.plugin import Action, SectionMigrator, Trainer, hookimpl


@hookimpl
def ckptkit_trainers() -> list[Trainer]:
    return [
        Trainer(
            name="spirals",
            title="Tell two spirals apart",
            config="spirals.config:Config",
            train="spirals.train:train",
            actions=(
                Action(
                    name="evaluate",
                    title="Accuracy on fresh points",
                    options="spirals.config:EvaluateOptions",
                    call="spirals.train:evaluate",
                ),
            ),
            needs=("torch",),
            install="ckptkit-spirals",
            versions={"model": 2},
        )
    ]


@hookimpl
def ckptkit_migrators() -> list[SectionMigrator]:
    from spirals.migrators import MIGRATORS

    return MIGRATORS
